"""DINOSAUR's decoder: an MLP draws each place for each slot (Seitzer et al. 2023, arXiv 2209.14860, section 3)."""

from __future__ import annotations

from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.decoders.features import FeatureDecoder, require_layers


class PatchMlpDecoder(FeatureDecoder):
    """Each slot is repeated over the grid of tokens, a learned position added, and an MLP makes features and a mask.

    `num_layers` hidden layers of `hidden_dim` with ReLU; the masks are a softmax over slots of the MLP's last value.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        target_dim: int,
        grid: tuple[int, int] = (16, 16),
        hidden_dim: int = 1024,
        num_layers: int = 3,
        has_similarities: bool = False,
        attention_weight: float = 0.0,
    ):
        require_layers(hidden_dim=hidden_dim, num_layers=num_layers)
        super().__init__(
            slot_dim=slot_dim,
            target_dim=target_dim,
            grid=grid,
            hidden_dim=hidden_dim,
            has_similarities=has_similarities,
            attention_weight=attention_weight,
        )
        self.enter = nn.Linear(slot_dim, hidden_dim)
        layers: list[nn.Module] = [nn.ReLU(inplace=True)]
        for _ in range(num_layers - 1):
            layers += [nn.Linear(hidden_dim, hidden_dim), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.mask = nn.Linear(hidden_dim, 1)

    def mix(
        self, slots: Float[Tensor, "m s d"], positions: Float[Tensor, "n d"], attention: Float[Tensor, "m s n"]
    ) -> tuple[Float[Tensor, "m n g"], Float[Tensor, "m s n"]]:
        """Run the MLP; its first layer is applied to slots and positions before they are added, since it is linear."""
        placed = self.enter(slots)[:, :, None] + functional.linear(positions, self.enter.weight)
        hidden = self.layers(placed)
        masks = self.masks_of(self.mask(hidden)[..., 0], attention)
        return einsum(masks.to(hidden.dtype), hidden, "m s n, m s n g -> m n g"), masks
