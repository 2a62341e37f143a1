"""The slot mixer (Sajjadi et al. 2022, arXiv 2206.06922) as VideoSAUR has it (arXiv 2306.04829)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.decoders.features import FeatureDecoder, require_layers
from slotkeeper.errors import ConfigError


class SlotMixerDecoder(FeatureDecoder):
    """Each place asks which slots are its own, mixes them, and draws once: far cheaper than drawing every slot.

    A learned position looks at the slots in `num_blocks` pre-norm transformer blocks (cross-attention of `num_heads`
    and an MLP four times as wide; places don't see each other). What comes out is compared with the slots' keys; the
    softmax over slots is the mask. The mix of the slots themselves, plus the position, goes through an MLP of
    `num_layers` hidden layers of `hidden_dim` with ReLU, whose last one is the mixer's hidden value.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        target_dim: int,
        grid: tuple[int, int] = (16, 16),
        num_blocks: int = 3,
        num_heads: int = 4,
        hidden_dim: int = 1024,
        num_layers: int = 3,
        has_similarities: bool = False,
        attention_weight: float = 0.0,
    ):
        require_layers(num_blocks=num_blocks, hidden_dim=hidden_dim, num_layers=num_layers)
        if num_heads < 1 or slot_dim % num_heads:
            raise ConfigError(f"decoder.num_heads must divide slot_dim {slot_dim}, got {num_heads}")
        super().__init__(
            slot_dim=slot_dim,
            target_dim=target_dim,
            grid=grid,
            hidden_dim=hidden_dim,
            has_similarities=has_similarities,
            attention_weight=attention_weight,
        )
        self.norm_memory = nn.LayerNorm(slot_dim)
        self.allocator = nn.ModuleList([_CrossBlock(slot_dim, num_heads) for _ in range(num_blocks)])
        self.norm_query, self.norm_key = nn.LayerNorm(slot_dim), nn.LayerNorm(slot_dim)
        self.query = nn.Linear(slot_dim, slot_dim, bias=False)
        self.key = nn.Linear(slot_dim, slot_dim, bias=False)
        self.scale = slot_dim**-0.5
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers += [nn.Linear(slot_dim if index == 0 else hidden_dim, hidden_dim), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def mix(
        self, slots: Float[Tensor, "m s d"], positions: Float[Tensor, "n d"], attention: Float[Tensor, "m s n"]
    ) -> tuple[Float[Tensor, "m n g"], Float[Tensor, "m s n"]]:
        """Allocate slots to places, then draw each place once."""
        places, memory = positions.expand(len(slots), -1, -1), self.norm_memory(slots)
        for block in self.allocator:
            places = block(places, memory)
        queries, keys = self.query(self.norm_query(places)), self.key(self.norm_key(slots))
        masks = self.masks_of((keys @ queries.transpose(1, 2)).float() * self.scale, attention)
        mixed = masks.transpose(1, 2).to(slots.dtype) @ slots
        return self.layers(mixed + positions), masks


class _CrossBlock(nn.Module):
    """Pre-norm cross-attention and MLP, both residual."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU(inplace=True), nn.Linear(4 * width, width)
        )

    def forward(self, places: Float[Tensor, "m n d"], memory: Float[Tensor, "m s d"]) -> Float[Tensor, "m n d"]:
        """Let each place look at the slots."""
        read, _ = self.attention(self.norm_attention(places), memory, memory, need_weights=False)
        places = places + read
        updated: Tensor = places + self.mlp(places)
        return updated
