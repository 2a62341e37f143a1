"""Transformer encoder blocks whose attention may be narrower or wider than what it reads."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def exchanged(
    tokens: Float[Tensor, "b n d"], num_heads: int, queries_keys_values: nn.Linear, merge: nn.Linear
) -> Float[Tensor, "b n d"]:
    """Multi-head self-attention; `queries_keys_values` maps to three times the attention's width, `merge` back."""
    batch, num_tokens, _ = tokens.shape
    query, key, value = queries_keys_values(tokens).view(batch, num_tokens, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value)
    merged: Tensor = merge(mixed.transpose(1, 2).flatten(2))
    return merged


class SelfAttentionBlock(nn.Module):
    """Pre-norm self-attention and a ReLU network, both residual; keeps `b n d`."""

    def __init__(self, width: int, *, num_heads: int, attention_dim: int, hidden_dim: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * attention_dim)
        self.merge = nn.Linear(attention_dim, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, width)
        )

    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Let tokens look at each other, then think alone."""
        tokens = tokens + exchanged(self.norm_attention(tokens), self.num_heads, self.queries_keys_values, self.merge)
        changed: Tensor = tokens + self.mlp(tokens)
        return changed
