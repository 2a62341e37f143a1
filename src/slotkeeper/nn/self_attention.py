"""Attention with several heads (Vaswani et al. 2017, arXiv 1706.03762), narrower or wider than what it reads."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def mixed_by_heads(
    queries: Float[Tensor, "b n e"],
    keys: Float[Tensor, "b k e"],
    values: Float[Tensor, "b k e"],
    num_heads: int,
    *,
    is_causal: bool = False,
    bias: Float[Tensor, "b n k"] | None = None,
) -> Float[Tensor, "b n e"]:
    """Each query's weighted mean of the values, head by head.

    is_causal: query i reads up to value i. bias: is added to the logits of all heads.
    """
    query, key, value = (rearrange(part, "b n (h e) -> b h n e", h=num_heads) for part in (queries, keys, values))
    added = None if bias is None else bias[:, None].to(query.dtype)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=added, is_causal=is_causal)
    return rearrange(mixed, "b h n e -> b n (h e)")


def exchanged(
    tokens: Float[Tensor, "b n d"], num_heads: int, queries_keys_values: nn.Linear, merge: nn.Linear
) -> Float[Tensor, "b n d"]:
    """Multi-head self-attention; `queries_keys_values` maps to three times the attention's width, `merge` back."""
    queries, keys, values = queries_keys_values(tokens).chunk(3, dim=-1)
    merged: Tensor = merge(mixed_by_heads(queries, keys, values, num_heads))
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
