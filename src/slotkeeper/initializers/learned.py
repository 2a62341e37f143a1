"""First slots learned one by one."""

from __future__ import annotations

import torch
from torch import nn

from slotkeeper.interfaces import Initializer
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, GivenStart, PlacedSlots


class LearnedInitializer(Initializer):
    """One vector per slot, the same for every video (SAVi's unconditional start).

    sigma: first spread. is_trainable: whether the vectors learn; frozen, they stay at their random start.
    """

    def __init__(self, *, num_slots: int, slot_dim: int, sigma: float = 1.0, is_trainable: bool = True):
        super().__init__()
        self.num_slots = num_slots
        self.slots = nn.Parameter(torch.randn(num_slots, slot_dim) * sigma, requires_grad=is_trainable)

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots that know nothing of the frame."""
        return PlacedSlots(slots=self.slots.expand(len(features.tokens), -1, -1))
