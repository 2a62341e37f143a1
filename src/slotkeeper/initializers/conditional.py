"""SAVi's conditional start: slots from places in the first frame (Kipf et al. 2022, arXiv 2111.12594)."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.interfaces import Initializer
from slotkeeper.nn.blocks import mlp
from slotkeeper.nn.more_rows import with_rows
from slotkeeper.nn.places import places_at
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, GivenStart, PlacedSlots

_NUM_VALUES = {"points": 2, "boxes": 4, "masks": 6}
_USABLE = {"points": ("points", "boxes", "masks"), "boxes": ("boxes", "masks"), "masks": ("masks",)}


class ConditionalInitializer(Initializer):
    """One learned background slot, then a slot embedded from where each thing is; the rest are learned spare ones.

    kind: what is embedded: "points" x y, "boxes" x0 y0 x1 y1, or of "masks" means, deviations, covariance and area. A
    model of boxes can also be given masks, one of points boxes or masks. In training the places come from the true
    masks of each clip's first frame, so the videos must have masks; in evaluation too, and the protocol says so.

    SAVi embeds a background box of zeros and gives zeros to slots without a box; here these are learned vectors, so
    that spare slots differ from each other.
    """

    num_background = 1
    is_resizable = True
    needs_start = True

    def __init__(
        self,
        *,
        num_slots: int,
        slot_dim: int,
        kind: Literal["points", "boxes", "masks"] = "boxes",
        hidden_dim: int = 256,
    ):
        super().__init__()
        self.num_slots = num_slots
        self.kind = kind
        self.start_kinds = _USABLE[kind]
        self.background = nn.Parameter(torch.randn(1, slot_dim))
        self.spare = nn.Parameter(torch.randn(num_slots - 1, slot_dim))
        self.embed = mlp(_NUM_VALUES[kind], hidden_dim, slot_dim)

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots from what is given, placed there; others everywhere. Without a start all are spare."""
        batch = len(features.tokens)
        objects, no_spread = (
            self.spare.expand(batch, -1, -1),
            torch.zeros(batch, self.num_slots, device=features.tokens.device),
        )
        if given is None:
            nowhere = no_spread.bool()
            places = places_at(no_spread[..., None].expand(-1, -1, 2), nowhere, nowhere)
            return PlacedSlots(slots=torch.cat((self._backgrounds(batch), objects), 1), places=places)
        missing = self.num_slots - 1 - given.points.shape[1]
        is_given = functional.pad(given.is_given, (0, missing))
        embedded = functional.pad(self.embed(self._values(given)), (0, 0, 0, missing))
        objects = torch.where(is_given[..., None], embedded, objects.to(embedded))
        centres, spreads = _extents(given)
        is_placed = functional.pad(is_given, (1, 0))
        places = places_at(
            functional.pad(centres, (0, 0, 1, missing)),
            is_placed,
            torch.zeros_like(is_placed),
            functional.pad(spreads, (1, missing)),
        )
        return PlacedSlots(slots=torch.cat((self._backgrounds(batch).to(objects), objects), dim=1), places=places)

    def with_num_slots(self, num_slots: int) -> ConditionalInitializer:
        """More things can be given, and more spare slots are left; these are drawn like the learned ones."""
        resized = deepcopy(self)
        resized.num_slots = num_slots
        resized.spare = with_rows(self.spare, num_slots - 1)
        return resized

    def _backgrounds(self, batch: int) -> Float[Tensor, "b 1 d"]:
        return self.background.expand(batch, -1, -1)

    def _values(self, given: GivenStart) -> Float[Tensor, "b k v"]:
        values = {"points": given.points, "boxes": given.boxes, "masks": given.shapes}[self.kind]
        assert values is not None, f"the model checks that a start of {given.kind} has {self.kind}"
        return values


def _extents(given: GivenStart) -> tuple[Float[Tensor, "b k 2"], Float[Tensor, "b k"]]:
    """Centre and spread of what is given: of a mask, of an evenly filled box, or of a point without extent."""
    if given.shapes is not None:
        return given.shapes[..., :2], given.shapes[..., 2:4].square().sum(-1).sqrt()
    if given.boxes is not None:
        corner, opposite = given.boxes[..., :2], given.boxes[..., 2:]
        return (corner + opposite) / 2, ((opposite - corner).square().sum(-1) / 12).sqrt()
    return given.points, torch.zeros_like(given.points[..., 0])
