"""From slots frame by frame to the slots of a whole clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from slotkeeper.types import PlacedSlots, SlotTrajectory


class TrajectoryRecord:
    """Gathers what the recurrence makes of each frame: first the slots prepared for it, then those that saw it."""

    def __init__(self) -> None:
        self._predicted: list[Tensor] = []
        self._corrected: list[Tensor] = []
        self._attention: list[Tensor] = []
        self._guesses: list[Tensor] = []
        self._means: list[Tensor] = []
        self._noise_seeds: list[Sequence[int]] = []

    def add_prepared(self, slots: PlacedSlots) -> None:
        """Slots before they see the frame."""
        self._predicted.append(slots.slots)
        if slots.guess is not None:
            self._guesses.append(slots.guess)

    def add_corrected(
        self, slots: PlacedSlots, attention: Float[Tensor, "b s n"], noise_seeds: Sequence[int] | None
    ) -> None:
        """Slots after they saw it, and their attention. noise_seeds: of what a decoder draws for this frame."""
        self._corrected.append(slots.slots)
        self._attention.append(attention)
        if slots.means is not None:
            self._means.append(slots.means)
        if noise_seeds is not None:
            self._noise_seeds.append(noise_seeds)

    def trajectory(self) -> SlotTrajectory:
        """Of all frames so far, at least one."""
        return SlotTrajectory(
            corrected=torch.stack(self._corrected, 1),
            predicted=torch.stack(self._predicted, 1),
            attention=torch.stack(self._attention, 1),
            guesses=torch.stack(self._guesses, 1) if self._guesses else None,
            means=torch.stack(self._means, 1) if self._means else None,
            noise_seeds=torch.tensor(self._noise_seeds).T if self._noise_seeds else None,
        )
