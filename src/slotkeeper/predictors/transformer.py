"""SAVi's predictor: a transformer block over the slots of one frame (Kipf et al. 2022, arXiv 2111.12594)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Predictor
from slotkeeper.nn.blocks import mlp
from slotkeeper.nn.self_attention import exchanged
from slotkeeper.noise import VideoNoise
from slotkeeper.types import PastFrames


class TransformerPredictor(Predictor):
    """Self-attention among slots and an MLP, both residual.

    norm: "pre" normalises what each of the two reads; "post", as SAVi does, each one's sum, so that
    predicted slots are always in range. has_output_norm: with "pre", one more layer norm at the end, which
    keeps slots in range over many more frames than the clips of training have. attention_dim: of queries, keys and
    values, all heads together; None for the slots' own width.
    """

    foresees = True

    def __init__(
        self,
        *,
        slot_dim: int,
        num_heads: int = 4,
        hidden_dim: int = 128,
        norm: Literal["pre", "post"] = "pre",
        has_output_norm: bool = False,
        attention_dim: int | None = None,
    ):
        super().__init__()
        owner, attention_dim = (
            ("slot_dim", slot_dim) if attention_dim is None else ("predictor.attention_dim", attention_dim)
        )
        if num_heads < 1 or attention_dim < 1 or attention_dim % num_heads:
            raise ConfigError(f"predictor.num_heads must divide {owner} {attention_dim}, got {num_heads}")
        if norm == "post" and has_output_norm:
            raise ConfigError("predictor.norm 'post' ends with a layer norm already; leave has_output_norm out")
        self.num_heads = num_heads
        self.norm = norm
        self.norm_attention = nn.LayerNorm(slot_dim)
        self.queries_keys_values = nn.Linear(slot_dim, 3 * attention_dim)
        self.merge = nn.Linear(attention_dim, slot_dim)
        is_post = norm == "post"
        self.norm_output = nn.LayerNorm(slot_dim) if has_output_norm or is_post else nn.Identity()
        self.mlp = nn.Sequential(
            nn.Identity() if is_post else nn.LayerNorm(slot_dim), mlp(slot_dim, hidden_dim, slot_dim)
        )

    def forward(
        self,
        slots: Float[Tensor, "b s d"],
        tokens: Float[Tensor, "b n e"],
        past: PastFrames | None = None,
        noise: VideoNoise | None = None,
    ) -> Float[Tensor, "b s d"]:
        """Let the slots of each video exchange what moves."""
        with torch.autocast(slots.device.type, enabled=False):  # a few slots gain nothing from bf16
            slots = slots.float()
            if self.norm == "post":
                slots = self.norm_attention(slots + self._exchanged(slots))
            else:
                slots = slots + self._exchanged(self.norm_attention(slots))
            predicted: Tensor = self.norm_output(slots + self.mlp(slots))
        return predicted

    def _exchanged(self, slots: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        """Multi-head self-attention."""
        return exchanged(slots, self.num_heads, self.queries_keys_values, self.merge)
