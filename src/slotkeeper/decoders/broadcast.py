"""Spatial broadcast decoders (Watters et al. 2019, arXiv 1901.07017): a slot is repeated over a grid and convolved."""

from __future__ import annotations

from abc import abstractmethod

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.interfaces import Decoder
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.positions import position_grid
from slotkeeper.types import Decoded, Features, SlotTrajectory


class GridDecoder(Decoder):
    """Base of decoders that draw each slot alone from a coarse grid, `reduction` times smaller than the picture."""

    draws_unseen = True
    reduction: int

    def __init__(self, *, slot_dim: int):
        super().__init__()
        self.positions = nn.Linear(2, slot_dim)

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Decode at `size`; the features are not used."""
        slots = trajectory.corrected
        height, width = size
        require_multiples(size, self.reduction, "this decoder")
        batch, time, num_slots, _ = slots.shape
        grid = self.positions(position_grid(height // self.reduction, width // self.reduction, slots.device))
        placed = slots.flatten(0, 2)[:, None, None] + grid
        drawn = self.draw(placed.permute(0, 3, 1, 2))
        drawn = rearrange(drawn, "(b t s) c h w -> b t s c h w", b=batch, t=time, s=num_slots).float()
        pictures = drawn[:, :, :, :3] + 0.5
        masks = drawn[:, :, :, 3].softmax(dim=2)
        return Decoded(reconstruction=(masks[:, :, :, None] * pictures).sum(dim=2), pictures=pictures, masks=masks)

    @abstractmethod
    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m 4 h w"]:
        """RGB around 0 and a mask logit for each slot alone."""


class BroadcastDecoder(GridDecoder):
    """The classic one: three 5x5 transposed convolutions up from an eighth of the size, then a 5x5 convolution.

    As in SAVi's small config (arXiv 2111.12594, appendix). The last layer has 3 of 4 of all the work. Others write it
    as a transposed convolution with a stride of 1, which is the same family of functions and slower.
    """

    reduction = 8

    def __init__(self, *, slot_dim: int, width: int = 64):
        super().__init__(slot_dim=slot_dim)
        layers: list[nn.Module] = []
        for input_width in (slot_dim, width, width):
            layers += [nn.ConvTranspose2d(input_width, width, 5, stride=2, padding=2, output_padding=1), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, 4, 1)]
        self.layers = nn.Sequential(*layers)

    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m 4 h w"]:
        """Upsample three times."""
        drawn: Tensor = self.layers(placed)
        return drawn


class LightBroadcastDecoder(GridDecoder):
    """A per-cell MLP on a quarter-sized grid, then a pixel shuffle: far cheaper than the classic one."""

    reduction = 4

    def __init__(self, *, slot_dim: int, width: int = 128, num_layers: int = 3):
        super().__init__(slot_dim=slot_dim)
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers += [nn.Conv2d(slot_dim if index == 0 else width, width, 1), nn.GELU()]
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(width, 4 * self.reduction**2, 1), nn.PixelShuffle(self.reduction)
        )

    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m 4 h w"]:
        """Each cell of the grid draws its own patch."""
        drawn: Tensor = self.layers(placed)
        return drawn
