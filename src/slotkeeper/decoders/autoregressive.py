"""STEVE's decoder: a picture's codes, one after the other, from the slots (Singh et al. 2022, arXiv 2205.14065)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Decoder
from slotkeeper.nn.attended import log_attention, require_attention_weight
from slotkeeper.nn.causal_transformer import CausalTransformer
from slotkeeper.nn.dvae import CODE_STRIDE, code_scorer
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.learned_grid import resized_grid
from slotkeeper.noise import VideoNoise, dropped
from slotkeeper.types import Decoded, Features, SlotTrajectory

_LEAST_CHANCE = 1e-9
"""Uniform numbers below it, of which 0 is one, would have an infinite logarithm."""


class AutoregressiveDecoder(Decoder):
    """Pictures become codes, a discrete autoencoder's; a transformer foretells each from those before it and the slots.

    The picture is what the encoder hands on as colours: the frames themselves with `steve` and `savi`, frames of half
    the size with `cnn`; its sides must be multiples of 4, since a code stands for 4 x 4 pixels. In training codes are
    drawn by their probabilities (as the best of log-probability plus Gumbel noise), in evaluation the likeliest are
    taken. No gradient flows from what is foretold into the codes: they learn by the loss `dvae` alone, which has the
    network that paints pictures from them.

    Nothing here tells which slot painted what: masks are the attention of the corrector's last iteration, on the
    encoder's grid of tokens. So in evaluation the transformer is needed for the likelihood only, and with
    `has_test_likelihood: false` nothing is rebuilt there (the reconstruction has no channels), which is far cheaper.

    num_codes: in the vocabulary. width: of the transformer. code_grid: rows and columns of codes that positions are
    learned for; other grids have them resized, bilinearly, and antialiased where they shrink. dvae_width: of the
    network that finds the codes. dropout: share dropped of the codes with their positions, and in the transformer.
    attention_weight: times the logarithm of the attention that slots paid to a place, it is added to the logits of the
    transformer's attention to them, so that each place asks the slots that looked at it. 0, as in the authors' code,
    leaves it out.
    """

    target = "codes"
    draws_each = False

    def __init__(
        self,
        *,
        slot_dim: int,
        num_codes: int = 512,
        width: int = 64,
        num_blocks: int = 4,
        num_heads: int = 4,
        dropout: float = 0.1,
        attention_weight: float = 0.0,
        code_grid: tuple[int, int] = (16, 16),
        dvae_width: int = 64,
        has_test_likelihood: bool = True,
    ):
        super().__init__()
        if num_codes < 2:
            raise ConfigError(f"decoder.num_codes must be at least 2, got {num_codes}")
        if min(num_blocks, dvae_width, *code_grid) < 1:
            raise ConfigError(
                "decoder.num_blocks, dvae_width and code_grid must be at least 1, got "
                f"{num_blocks}, {dvae_width} and {list(code_grid)}"
            )
        if num_heads < 1 or width < 1 or width % num_heads:
            raise ConfigError(f"decoder.num_heads must divide decoder.width {width}, got {num_heads}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"decoder.dropout must be at least 0 and below 1, got {dropout}")
        require_attention_weight(attention_weight)
        self.num_codes = num_codes
        self.has_test_likelihood = has_test_likelihood
        self.dropout = dropout
        self.attention_weight = attention_weight
        self.scorer = code_scorer(num_codes, dvae_width)
        self.slots = nn.Linear(slot_dim, width, bias=False)
        self.begin = nn.Parameter(torch.randn(width) * width**-0.5)
        self.embedding = nn.Embedding(num_codes, width)
        self.positions = nn.Parameter(torch.randn(width, *code_grid))
        self.transformer = CausalTransformer(width=width, num_blocks=num_blocks, num_heads=num_heads, dropout=dropout)
        self.head = nn.Linear(width, num_codes, bias=False)

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Log-likelihoods of the codes, and the slots' attention as masks.

        Raises:
            ConfigError: codes don't fit into frames of `size`.
        """
        colors = features.colors
        require_multiples(
            size, CODE_STRIDE * size[0] // colors.shape[-2], "the autoregressive decoder with this encoder"
        )
        masks = rearrange(trajectory.attention, "b t s (h w) -> b t s h w", h=features.grid[0])
        if not (self.training or self.has_test_likelihood):
            nothing = masks.new_zeros(*masks.shape[:2], 0, 1, 1)
            return Decoded(reconstruction=nothing, pictures=None, masks=masks, target="codes")
        noise = None
        if self.training and trajectory.noise_seeds is not None:
            noise = VideoNoise(trajectory.noise_seeds.flatten().tolist(), colors.device)
        scores = self.score(colors, noise)
        likelihood = self.log_likelihood(scores.argmax(dim=2), trajectory.corrected, noise, masks)
        return Decoded(reconstruction=likelihood, pictures=None, masks=masks, target="codes", code_scores=scores)

    def score(
        self, pictures: Float[Tensor, "b t 3 h w"], noise: VideoNoise | None = None
    ) -> Float[Tensor, "b t v rows columns"]:
        """Log-probability of each code at each place, plus noise; the best one is then a draw. A noise per frame."""
        scores = self.scorer(pictures.flatten(0, 1)).float().log_softmax(dim=1)
        if noise is not None:
            chances = noise.uniform(*scores.shape[1:]).clamp_min(_LEAST_CHANCE)
            scores = scores - (-chances.log()).log().to(scores.device)
        by_frame: Tensor = scores.unflatten(0, pictures.shape[:2])
        return by_frame

    def log_likelihood(
        self,
        codes: Int[Tensor, "b t rows columns"],
        slots: Float[Tensor, "b t s d"],
        noise: VideoNoise | None = None,
        attention: Float[Tensor, "b t s h w"] | None = None,
    ) -> Float[Tensor, "b t 1 rows columns"]:
        """Logarithm of the probability of each code, given those before it in row-major order and the slots.

        attention: of the slots, on any grid; None leaves out what `attention_weight` makes of it.
        """
        order = rearrange(codes, "b t h w -> (b t) (h w)")
        earlier = self.embedding(order[:, :-1])
        known = torch.cat((self.begin.expand(len(order), 1, -1), earlier), dim=1)
        positions = resized_grid(self.positions[None], (codes.shape[2], codes.shape[3]))
        placed = known + positions[0].flatten(1).T
        if noise is not None and self.dropout:
            placed = dropped(placed, self.dropout, noise)
        leaning = (
            None if attention is None else self._leaning(attention.flatten(0, 1), (codes.shape[2], codes.shape[3]))
        )
        logits = self.head(self.transformer(placed, self.slots(slots.flatten(0, 1)), noise, leaning)).float()
        likelihood = -functional.cross_entropy(logits.transpose(1, 2), order, reduction="none")
        return likelihood.view(*codes.shape)[:, :, None]

    def _leaning(self, attention: Float[Tensor, "m s h w"], grid: tuple[int, int]) -> Float[Tensor, "m n s"] | None:
        """What the transformer's places gain for each slot, since it looked there."""
        if not self.attention_weight:
            return None
        looked = log_attention(functional.adaptive_avg_pool2d(attention.float(), grid))
        return self.attention_weight * looked.flatten(2).transpose(1, 2)
