"""A transformer that reads a sequence from its start and looks at slots (STEVE's decoder, arXiv 2205.14065)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.nn.self_attention import mixed_by_heads
from slotkeeper.noise import VideoNoise, dropped


class CausalTransformer(nn.Module):
    """Blocks of causal self-attention, attention to the slots and an MLP; each residual and pre-norm, without biases.

    As in the authors' code the first block normalises the sequence itself, so that the residual way begins with it,
    and what is added starts small, by (3 times the blocks) to the power -1/2. dropout: share of what each part adds
    that is dropped, drawn from the noise given; attention weights are not dropped.
    """

    def __init__(self, *, width: int, num_blocks: int, num_heads: int, dropout: float):
        super().__init__()
        gain = (3 * num_blocks) ** -0.5
        self.norm_first = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            _Block(width, num_heads, dropout, gain, has_norm=index > 0) for index in range(num_blocks)
        )
        self.norm_last = nn.LayerNorm(width)

    def forward(
        self,
        sequence: Float[Tensor, "m n d"],
        slots: Float[Tensor, "m s d"],
        noise: VideoNoise | None = None,
        leaning: Float[Tensor, "m n s"] | None = None,
    ) -> Float[Tensor, "m n d"]:
        """What place i makes of the places up to i and of the slots; without noise nothing is dropped.

        leaning: of each place to each slot, added to the logits of its attention to the slots.
        """
        sequence = self.norm_first(sequence)
        for block in self.blocks:
            sequence = block(sequence, slots, noise, leaning)
        normed: Tensor = self.norm_last(sequence)
        return normed


class _Block(nn.Module):
    """has_norm: before the self-attention."""

    def __init__(self, width: int, num_heads: int, dropout: float, gain: float, *, has_norm: bool):
        super().__init__()
        self.dropout = dropout
        self.norm_sequence = nn.LayerNorm(width) if has_norm else nn.Identity()
        self.among = _Attention(width, num_heads, gain)
        self.norm_reader = nn.LayerNorm(width)
        self.to_slots = _Attention(width, num_heads, gain)
        wide, narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.kaiming_uniform_(wide.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(narrow.weight, gain)
        nn.init.zeros_(wide.bias)
        nn.init.zeros_(narrow.bias)
        self.mlp = nn.Sequential(nn.LayerNorm(width), wide, nn.ReLU(), narrow)

    def forward(
        self,
        sequence: Float[Tensor, "m n d"],
        slots: Float[Tensor, "m s d"],
        noise: VideoNoise | None,
        leaning: Float[Tensor, "m n s"] | None,
    ) -> Float[Tensor, "m n d"]:
        normed = self.norm_sequence(sequence)
        sequence = sequence + self._thinned(self.among(normed, normed, is_causal=True), noise)
        sequence = sequence + self._thinned(self.to_slots(self.norm_reader(sequence), slots, bias=leaning), noise)
        return sequence + self._thinned(self.mlp(sequence), noise)

    def _thinned(self, change: Float[Tensor, "m n d"], noise: VideoNoise | None) -> Float[Tensor, "m n d"]:
        return dropped(change, self.dropout, noise) if noise is not None and self.dropout else change


class _Attention(nn.Module):
    """With several heads and without biases."""

    def __init__(self, width: int, num_heads: int, gain: float):
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.merge = (nn.Linear(width, width, bias=False) for _ in range(4))
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.xavier_uniform_(self.merge.weight, gain)

    def forward(
        self,
        readers: Float[Tensor, "m n d"],
        read: Float[Tensor, "m k d"],
        *,
        is_causal: bool = False,
        bias: Float[Tensor, "m n k"] | None = None,
    ) -> Float[Tensor, "m n d"]:
        queries, keys, values = self.query(readers), self.key(read), self.value(read)
        merged: Tensor = self.merge(
            mixed_by_heads(queries, keys, values, self.num_heads, is_causal=is_causal, bias=bias)
        )
        return merged
