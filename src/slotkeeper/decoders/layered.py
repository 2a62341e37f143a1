"""A decoder of layers: sharp masks from pixel embeddings, plain smooth colours from slots."""

from __future__ import annotations

from functools import lru_cache

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Decoder
from slotkeeper.nn.attended import log_attention
from slotkeeper.nn.blocks import mlp
from slotkeeper.nn.enlarging import enlarged
from slotkeeper.nn.mixing import mixed
from slotkeeper.nn.positions import quadratic_grid
from slotkeeper.types import Decoded, Features, SlotTrajectory

_NUM_KEPT = 32
_TERMS = (
    (1, 0, 0, 0, 0, 0),
    (3, 2, 0, 0, 0, 0),
    (4, 0, 2, 0, 0, 0),
    (5, 9, 0, 8, 0, 0),
    (6, 10, 11, 0, 8, 0),
    (7, 0, 12, 0, 0, 8),
)
"""Which term stands where in `centred_basis`."""
_DARK = 0.2
"""Where objects' colours start: unlike most floors, so that the floor falls to the background from the first step."""


class LayeredDecoder(Decoder):
    """Each object is a patch of smooth colour behind a mask; the background is a coarse picture.

    A slot's mask logit at a pixel is the product of the slot's query with the pixel's embedding (as in MaskFormer,
    arXiv 2107.06278), plus a learned multiple of the logarithm of its attention there, so that a slot draws where it
    looks. Its colour is a quadratic polynomial of the position relative to its mask's centre and spread, so it can
    paint a shaded object and can't paint what lies around it. The `num_background` first slots paint a grid of
    `background_grid`² colours instead; `background_bias` is their head start in the mask logits. Without it slots of
    objects take pieces of the floor while they learn; later it costs objects their highlights and rims, so evaluation
    may have a smaller one, `test_background_bias`. With `is_test_smooth` evaluation also averages the logits over 3 x 3
    pixels with binomial weights, which takes away the outlines that slots draw around the objects of others. Since
    masks see the picture only through a choice among slots, rebuilding it well means segmenting it.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        pixel_dim: int,
        num_background: int,
        hidden_dim: int = 128,
        background_grid: int = 8,
        background_bias: float = 0.0,
        test_background_bias: float | None = None,
        is_test_smooth: bool = False,
    ):
        super().__init__()
        if not pixel_dim:
            raise ConfigError("the layered decoder needs an encoder with pixel embeddings: set encoder.pixel_dim > 0")
        if background_grid < 1:
            raise ConfigError(f"decoder.background_grid must be at least 1, got {background_grid}")
        self.num_background = num_background
        self.background_grid = background_grid
        self.background_bias = background_bias
        self.test_background_bias = background_bias if test_background_bias is None else test_background_bias
        self.is_test_smooth = is_test_smooth
        self.query = mlp(slot_dim, hidden_dim, pixel_dim + 1)
        self.attention_weight = nn.Parameter(torch.tensor(0.5))
        self.colors = mlp(slot_dim, hidden_dim, 3 * 6)
        self.background = mlp(slot_dim, hidden_dim, 3 * background_grid**2) if num_background else None
        self.scale = pixel_dim**-0.5

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Decode at the size of the pixel embeddings."""
        slots, split = trajectory.corrected, self.num_background
        masks = self.draw_masks(trajectory, features).softmax(dim=2)
        pictures = self.paint_objects(slots[:, :, split:], masks[:, :, split:])
        if split:
            pictures = torch.cat((self.paint_background(slots[:, :, :split], size), pictures), dim=2)
        return Decoded(reconstruction=mixed(masks, pictures), pictures=pictures, masks=masks)

    def draw_masks(self, trajectory: SlotTrajectory, features: Features) -> Float[Tensor, "b t s h w"]:
        """Mask logits in float32; a slot that pays no attention at all, as free ones do, draws nothing."""
        assert features.pixels is not None
        size, attention = (features.pixels.shape[-2], features.pixels.shape[-1]), trajectory.attention
        queries = self.query(trajectory.corrected)
        # Pixels first: their gradient then lies in memory as the encoder's convolutions want it.
        pixels = rearrange(features.pixels, "b t e h w -> (b t) (h w) e")
        wanted = rearrange(self.scale * queries[..., :-1], "b t s e -> (b t) e s")
        logits = (pixels @ wanted.to(pixels.dtype)).transpose(1, 2).float().reshape(*attention.shape[:3], *size)
        looks = self.attention_weight * log_attention(attention)
        looks = enlarged(rearrange(looks, "b t s (h w) -> (b t) s h w", h=features.grid[0]), size)
        logits = logits + looks.view_as(logits)
        if self.is_test_smooth and not self.training:
            logits = smoothed(logits.flatten(0, 1)).view_as(logits)
        bias = self.background_bias if self.training else self.test_background_bias
        head_start = _head_start(logits.shape[2], self.num_background, bias, logits.device)
        is_idle = attention.detach().sum(-1) == 0
        everywhere = (queries[..., -1].float() + head_start).masked_fill(is_idle, float("-inf"))
        started: Tensor = logits + everywhere[..., None, None]
        return started

    def paint_objects(
        self, slots: Float[Tensor, "b t s d"], masks: Float[Tensor, "b t s h w"]
    ) -> Float[Tensor, "b t s 3 h w"]:
        """Each object's picture in [0, 1]: a polynomial of the position, in units of the mask's spread."""
        basis = quadratic_grid(masks.shape[-2], masks.shape[-1], masks.device)
        local = rearrange(self.colors(slots).float(), "b t s (c k) -> b t s c k", c=3)
        coefficients = local @ centred_basis(masks.detach(), basis) + _dark(masks.device)
        colors = einsum(coefficients, basis, "b t s c k, h w k -> b t s c h w")
        return functional.hardtanh(colors, 0, 1)  # a clamp whose gradient is one operation

    def paint_background(self, slots: Float[Tensor, "b t s d"], size: tuple[int, int]) -> Float[Tensor, "b t s 3 h w"]:
        """The background's picture: a bilinear grid of colours."""
        assert self.background is not None
        batch, time = slots.shape[:2]
        grids = rearrange(self.background(slots).float(), "b t s (c h w) -> (b t s) c h w", c=3, h=self.background_grid)
        pictures = 0.5 + enlarged(grids, size)
        return rearrange(pictures, "(b t s) c h w -> b t s c h w", b=batch, t=time)


def smoothed(logits: Float[Tensor, "n s h w"]) -> Float[Tensor, "n s h w"]:
    """Means over 3 x 3 pixels with the weights of two means over 2 x 2; borders are repeated."""
    sums = functional.pad(logits, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        sums = sums[:, :, 1:] + sums[:, :, :-1]
        sums = sums[..., 1:] + sums[..., :-1]
    return sums / 16


def centred_basis(
    masks: Float[Tensor, "b t s h w"], basis: Float[Tensor, "h w 6"], smallest: float = 0.05
) -> Float[Tensor, "b t s 6 6"]:
    """The matrix that turns monomials of (x, y) into monomials of ((x - centre) / spread), one for each mask.

    With centre (x, y), s = 1 / spread, u = x s and v = y s its rows are 1; -u, s; -v, 0, s; u², -2us, 0, s²; uv, -vs,
    -us, 0, s²; and v², 0, -2vs, 0, 0, s².

    `basis` holds 1, x, y, x², xy, y² at each pixel, x and y in [-1, 1]. The spread is the mask's root mean square
    distance from its centre, at least `smallest`.
    """
    weights = masks / masks.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    moments = einsum(weights, basis, "b t s h w, h w k -> b t s k")
    _, x, y, xx, _, yy = moments.unbind(-1)
    scale = (xx - x**2 + yy - y**2).clamp_min(smallest**2).rsqrt()
    u, v, zero = x * scale, y * scale, torch.zeros_like(x)
    terms = (
        zero,
        zero + 1,
        scale,
        -u,
        -v,
        u**2,
        u * v,
        v**2,
        scale**2,
        -2 * u * scale,
        -v * scale,
        -u * scale,
        -2 * v * scale,
    )
    return torch.stack(terms, dim=-1)[..., _terms(x.device)]


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)  # what tracking makes first, training may need later
def _terms(device: torch.device) -> Int[Tensor, "6 6"]:
    return torch.tensor(_TERMS, device=device)


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)
def _dark(device: torch.device) -> Float[Tensor, " 6"]:
    """The polynomial of a colour that is dark everywhere."""
    return torch.tensor((_DARK, 0.0, 0.0, 0.0, 0.0, 0.0), device=device)


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)
def _head_start(num_slots: int, num_background: int, bias: float, device: torch.device) -> Float[Tensor, " s"]:
    return torch.tensor([bias] * num_background + [0.0] * (num_slots - num_background), device=device)
