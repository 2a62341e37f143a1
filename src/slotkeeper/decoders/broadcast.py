"""Spatial broadcast decoders (Watters et al. 2019, arXiv 1901.07017): a slot is repeated over a grid and convolved."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Decoder
from slotkeeper.nn.attended import log_attention, require_attention_weight
from slotkeeper.nn.blocks import TransposedConvolution
from slotkeeper.nn.enlarging import enlarged
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.mixing import mixed
from slotkeeper.nn.positions import position_grid
from slotkeeper.types import Decoded, Features, SlotTrajectory

Rebuilt = Literal["frames", "flow", "depth", "flow_and_depth"]
_NUM_CHANNELS = {"frames": 3, "flow": 3, "depth": 1, "flow_and_depth": 4}
_NUM_LAYERS = 4


class GridDecoder(Decoder):
    """Base of decoders that draw each slot alone from a coarse grid, `reduction` times smaller than the picture.

    num_channels: of what is rebuilt, without the mask. attention_weight: times the logarithm of the attention that the
    slot paid to each place, it is added to the masks' logits, as in the decoders of features; 0, as in the papers,
    leaves it out. Otherwise nothing can be drawn of frames that no slot has seen.
    """

    reduction: int

    def __init__(self, *, slot_dim: int, target: Rebuilt, attention_weight: float):
        super().__init__()
        require_attention_weight(attention_weight)
        self.attention_weight = attention_weight
        self.draws_unseen = not attention_weight
        self.target = target
        self.num_channels = _NUM_CHANNELS[target]
        self.positions = nn.Linear(2, slot_dim)

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Decode at `size`; of the features nothing but their grid is used."""
        slots = trajectory.corrected
        height, width = size
        require_multiples(size, self.reduction, "this decoder")
        batch, time, num_slots, _ = slots.shape
        grid = self.positions(position_grid(height // self.reduction, width // self.reduction, slots.device))
        placed = slots.flatten(0, 2)[:, None, None] + grid
        drawn = self.draw(placed.permute(0, 3, 1, 2))
        drawn = rearrange(drawn, "(b t s) c h w -> b t s c h w", b=batch, t=time, s=num_slots).float()
        pictures, logits = drawn[:, :, :, :-1], drawn[:, :, :, -1]
        if self.target == "frames":
            pictures = pictures + 0.5
        if self.attention_weight:
            attention = rearrange(trajectory.attention.float(), "b t s (h w) -> (b t) s h w", h=features.grid[0])
            looked = log_attention(enlarged(attention, size))
            logits = logits + self.attention_weight * looked.unflatten(0, (batch, time))
        masks = logits.softmax(dim=2)
        return Decoded(reconstruction=mixed(masks, pictures), pictures=pictures, masks=masks, target=self.target)

    @abstractmethod
    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m e h w"]:
        """What is rebuilt (RGB around 0) and a mask logit for each slot alone."""


class BroadcastDecoder(GridDecoder):
    """The classic one: four 5x5 convolutions, of which the first `num_doublings` are transposed and double the size.

    With 3 as in SAVi's small config (arXiv 2111.12594, appendix), from an eighth of the size; its last layer has 3 of 4
    of all the work. Others write it as a transposed convolution with a stride of 1, which is the same family of
    functions and slower. With 4 as in SAVi's larger ones and SAVi++ (arXiv 2206.07764), from a sixteenth.

    target: "frames"; the "flow" as colours or the logarithm of the "depth", or both at once, see the losses
    `flow_reconstruction` and `depth_reconstruction`.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        width: int = 64,
        num_doublings: int = 3,
        target: Rebuilt = "frames",
        attention_weight: float = 0.0,
    ):
        super().__init__(slot_dim=slot_dim, target=target, attention_weight=attention_weight)
        _require_one(width=width)
        if not 1 <= num_doublings <= _NUM_LAYERS:
            raise ConfigError(f"decoder.num_doublings must lie between 1 and {_NUM_LAYERS}, got {num_doublings}")
        self.reduction = 2**num_doublings
        layers: list[nn.Module] = []
        for index in range(_NUM_LAYERS):
            input_width = slot_dim if index == 0 else width
            if index < num_doublings:
                layers.append(TransposedConvolution(input_width, width, 5, stride=2, padding=2, output_padding=1))
            else:
                layers.append(nn.Conv2d(input_width, width, 5, padding=2))
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, self.num_channels + 1, 1))

    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m e h w"]:
        """Upsample, then refine."""
        drawn: Tensor = self.layers(placed)
        return drawn


class LightBroadcastDecoder(GridDecoder):
    """A per-cell MLP on a quarter-sized grid, then a pixel shuffle: far cheaper than the classic one.

    target: as `broadcast` has it.
    """

    reduction = 4

    def __init__(
        self,
        *,
        slot_dim: int,
        width: int = 128,
        num_layers: int = 3,
        target: Rebuilt = "frames",
        attention_weight: float = 0.0,
    ):
        super().__init__(slot_dim=slot_dim, target=target, attention_weight=attention_weight)
        _require_one(width=width, num_layers=num_layers)
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers += [nn.Conv2d(slot_dim if index == 0 else width, width, 1), nn.GELU()]
        self.layers = nn.Sequential(
            *layers,
            nn.Conv2d(width, (self.num_channels + 1) * self.reduction**2, 1),
            nn.PixelShuffle(self.reduction),
        )

    def draw(self, placed: Float[Tensor, "m d gh gw"]) -> Float[Tensor, "m e h w"]:
        """Each cell of the grid draws its own patch."""
        drawn: Tensor = self.layers(placed)
        return drawn


def _require_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"decoder.{name} must be at least 1, got {number}")
