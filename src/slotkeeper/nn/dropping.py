"""A transformer layer whose dropout is drawn video by video."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.noise import VideoNoise, dropped


class DroppingDecoderLayer(nn.TransformerDecoderLayer):
    """PyTorch's decoder layer (post-norm, GELU, no biases), with dropout from each video's own noise.

    It has the same weights and drops in the same places: attention, what each of the three parts adds, and the hidden
    layer.
    """

    def __init__(self, width: int, num_heads: int, hidden_dim: int, dropout: float):
        super().__init__(width, num_heads, hidden_dim, dropout, activation="gelu", batch_first=True, bias=False)
        self.share = dropout

    def forward(  # type: ignore[override]
        self, queries: Float[Tensor, "b s d"], seen: Float[Tensor, "b n d"], noise: VideoNoise | None = None
    ) -> Float[Tensor, "b s d"]:
        """Queries look at each other, then at what is seen; noise is needed in training."""
        if not self.training or not self.share:
            plain: Tensor = super().forward(queries, seen)
            return plain
        assert noise is not None, "dropout needs noise"
        exchanged = _attended(self.self_attn, queries, queries, self.share, noise)
        queries = self.norm1(queries + dropped(exchanged, self.share, noise))
        read = _attended(self.multihead_attn, queries, seen, self.share, noise)
        queries = self.norm2(queries + dropped(read, self.share, noise))
        hidden = dropped(functional.gelu(self.linear1(queries)), self.share, noise)
        updated: Tensor = self.norm3(queries + dropped(self.linear2(hidden), self.share, noise))
        return updated


def _attended(
    attention: nn.MultiheadAttention,
    queries: Float[Tensor, "b s d"],
    seen: Float[Tensor, "b n d"],
    share: float,
    noise: VideoNoise,
) -> Float[Tensor, "b s d"]:
    """What `attention` reads, a share of its weights dropped."""
    projections = attention.in_proj_weight.chunk(3)
    query, key, value = (
        rearrange(functional.linear(source, weight), "b m (k e) -> b k m e", k=attention.num_heads)
        for source, weight in zip((queries, seen, seen), projections, strict=True)
    )
    weights = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5).softmax(dim=-1)
    read = dropped(weights, share, noise).to(value.dtype) @ value
    joined: Tensor = attention.out_proj(rearrange(read, "b k m e -> b m (k e)"))
    return joined
