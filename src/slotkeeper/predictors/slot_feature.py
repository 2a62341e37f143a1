"""RandSF.Q: a predictor that sees the next frame (Zhao et al. 2025, arXiv 2508.01345)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Predictor
from slotkeeper.nn.dropping import DroppingDecoderLayer
from slotkeeper.noise import VideoNoise, given_or_fresh
from slotkeeper.types import PastFrames


class SlotFeaturePredictor(Predictor):
    """Slots of the latest frame read the next frame's tokens in a transformer decoder layer (post-norm, no biases).

    In training it learns the passing of time from random pairs: each video's slots come from any of the last
    `window - 1` frames, its tokens from any frame after the oldest of these up to the next one; both are marked by a
    learned embedding of how long ago that was. In evaluation they are the latest slots and the next frame's tokens. No
    gradient flows through slots or tokens, so none flows through time, whatever `bptt` says.

    The authors train with clips as long as `window`; here longer clips look back that far. Their slots are also held
    together by a slot-slot contrast, which is a loss of its own and not part of this.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        feature_dim: int,
        window: int = 5,
        num_heads: int = 4,
        hidden_dim: int = 256,
        dropout: float = 0.5,
    ):
        super().__init__()
        if num_heads < 1 or slot_dim % num_heads:
            raise ConfigError(f"predictor.num_heads must divide slot_dim {slot_dim}, got {num_heads}")
        if window < 2:
            raise ConfigError(f"predictor.window must be at least 2 frames, got {window}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"predictor.dropout must be at least 0 and below 1, got {dropout:g}")
        self.num_past = window - 1
        self.ages = nn.Embedding(window, slot_dim)
        self.project = nn.Linear(feature_dim, slot_dim)
        self.layer = DroppingDecoderLayer(slot_dim, num_heads, hidden_dim, dropout)

    def forward(
        self,
        slots: Float[Tensor, "b s d"],
        tokens: Float[Tensor, "b n e"],
        past: PastFrames | None = None,
        noise: VideoNoise | None = None,
    ) -> Float[Tensor, "b s d"]:
        """Let slots look for themselves in the next frame; see the class."""
        ages = torch.tensor([1, 0], device=slots.device).expand(len(slots), 2)
        if self.training:
            noise = given_or_fresh(noise, len(slots))
        if noise is not None and self.training and past is not None and past.slots.shape[1] > 1:
            ages = draw_ages(past.slots.shape[1], noise).to(slots.device)
            slots = _of_age(past.slots, ages[:, 0] - 1)
            tokens = _of_age(torch.cat((past.tokens, tokens[:, None]), dim=1), ages[:, 1])
        marks = self.ages(ages)
        queries = slots.detach() + marks[:, :1]
        seen = self.project(tokens.detach()) + marks[:, 1:]
        predicted: Tensor = self.layer(queries.to(seen.dtype), seen, noise)
        return predicted


def draw_ages(num_past: int, noise: VideoNoise) -> Int[Tensor, "b 2"]:
    """How many frames before the next one slots (1 to num_past) and tokens (0 to num_past - 1) are taken from."""
    return noise.integers(num_past, 2) + torch.tensor([1, 0])


def _of_age(values: Float[Tensor, "b p m d"], ages: Int[Tensor, " b"]) -> Float[Tensor, "b m d"]:
    """Per video the values that are `ages` places before the last."""
    chosen: Tensor = values[torch.arange(len(values), device=values.device), values.shape[1] - 1 - ages]
    return chosen
