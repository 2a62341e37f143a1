"""What encoders of a quarter-sized grid share: the way in, and the way out to tokens and pixel embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Encoder
from slotkeeper.nn.blocks import Convolution, mlp
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.positions import position_grid, quadratic_grid
from slotkeeper.types import EncoderState, Features


class GridEncoder(Encoder):
    """Base: two strided convolutions, blocks on the grid of tokens, positions added as in SAVi.

    name: as in the catalogue, for errors. stride: 4 in all; a height or width that is no multiple of 4 is refused,
    since the tokens would not lie over their pixels. pixel_dim: 0 leaves the pixel embeddings out. make_blocks: called
    between the way in and the way out, so that weights are drawn in the order of the data's way.
    """

    name: str
    stride = 4

    def __init__(self, *, width: int, feature_dim: int, pixel_dim: int, make_blocks: Callable[[], nn.Module]):
        super().__init__()
        if width < 8 or width % 8:
            raise ConfigError(f"encoder.width must be a multiple of 8, got {width}")
        if pixel_dim < 0:
            raise ConfigError(f"encoder.pixel_dim can't be negative, got {pixel_dim}")
        self.feature_dim = feature_dim
        self.pixel_dim = pixel_dim
        self.fine = Convolution(3, width // 4, 3, padding=1)
        self.middle = Convolution(width // 4, width // 2, 4, stride=2, padding=1)
        self.coarse = Convolution(width // 2, width, 4, stride=2, padding=1)
        self.blocks = make_blocks()
        self.positions = nn.Linear(2, width)
        self.norm = nn.LayerNorm(width)
        self.head = mlp(width, 2 * feature_dim, feature_dim)
        if pixel_dim:
            self.pixel_coarse = Convolution(width, pixel_dim, 1)
            self.pixel_fine = Convolution(width // 4, pixel_dim, 3, padding=1)
            self.pixel_positions = nn.Linear(6, pixel_dim)
            self.pixel_mix = Convolution(pixel_dim, pixel_dim, 1)

    @abstractmethod
    def process(
        self, coarse: Float[Tensor, "b t g rows columns"], state: EncoderState | None
    ) -> tuple[Float[Tensor, "b t g rows columns"], EncoderState | None]:
        """Run the blocks; also return the state for the next frames of the same videos, if there is one."""

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Encode frames; `state` is what the previous call returned for the same videos.

        Raises:
            ConfigError: the frames' height or width is no multiple of the stride.
        """
        require_multiples((frames.shape[-2], frames.shape[-1]), self.stride, f"the {self.name} encoder")
        batch = frames.shape[0]
        pictures = rearrange(frames, "b t c h w -> (b t) c h w").contiguous(memory_format=torch.channels_last)
        fine = functional.gelu(self.fine(pictures * 2 - 1))
        entered = self.coarse(functional.gelu(self.middle(fine)))
        processed, state = self.process(entered.unflatten(0, (batch, -1)), state)
        coarse = processed.flatten(0, 1)
        rows, columns = coarse.shape[-2:]
        placed = coarse.permute(0, 2, 3, 1) + self.positions(position_grid(rows, columns, frames.device))
        tokens = rearrange(self.head(self.norm(placed)), "(b t) h w d -> b t (h w) d", b=batch)
        colors = functional.avg_pool2d(pictures, self.stride // 2)
        features = Features(
            tokens=tokens,
            grid=(rows, columns),
            colors=rearrange(colors, "(b t) c h w -> b t c h w", b=batch),
            pixels=self._embed_pixels(fine, coarse, batch) if self.pixel_dim else None,
        )
        return features, state

    def _embed_pixels(
        self, fine: Float[Tensor, "m f h w"], coarse: Float[Tensor, "m g h4 w4"], batch: int
    ) -> Float[Tensor, "b t e h w"]:
        height, width = fine.shape[-2:]
        wide = functional.interpolate(self.pixel_coarse(coarse), (height, width), mode="bilinear", align_corners=False)
        basis = quadratic_grid(height, width, fine.device)
        mixed = self.pixel_mix(functional.gelu(wide + self.pixel_fine(fine)))
        embedded: Tensor = mixed.permute(0, 2, 3, 1) + self.pixel_positions(basis)  # sums over channels first are slow
        return rearrange(embedded, "(b t) h w e -> b t e h w", b=batch)


def require_at_least(name: str, value: int, least: int) -> None:
    """Refuse an encoder's setting below `least`.

    Raises:
        ConfigError: names it.
    """
    if value < least:
        raise ConfigError(f"encoder.{name} must be at least {least}, got {value}")
