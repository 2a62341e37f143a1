"""The loop over frames: slots are prepared for a frame, see it, and go on to the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from slotkeeper.interfaces import Corrector, Initializer, Predictor
from slotkeeper.nn.recompute import recomputed
from slotkeeper.nn.trajectory_record import TrajectoryRecord
from slotkeeper.noise import VideoNoise, spread_seeds
from slotkeeper.types import Features, PastFrames, PlacedSlots, SlotState, SlotTrajectory

Watch = Callable[[int, Tensor], None]
"""Called with each frame's index and its corrected slots, as they are in the recurrence."""


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """Initializer, corrector and predictor as one loop over encoded frames.

    bptt: "full"; "detach" cuts gradients between all frames; a number k cuts them every k frames. A cut lies before the
    predictor, which so learns from the frame that it prepares slots for. begins_anew: each frame starts from the
    initializer, as a first one does, and none from the predictor.
    """

    initializer: Initializer
    corrector: Corrector
    predictor: Predictor
    bptt: Literal["full", "detach"] | int = "full"
    begins_anew: bool = False

    def fold(
        self, state: SlotState, features: Features, watch: Watch | None = None, *, recompute: bool = False
    ) -> tuple[SlotState, SlotTrajectory]:
        """Advance over all frames of `features`, at least one.

        watch: sees each frame's corrected slots. recompute: keep little of each frame for the backward pass and
        compute the rest again there, see `slotkeeper.nn.recompute`.
        """
        record = TrajectoryRecord()
        prepared = features if recompute else self.corrector.prepare(features)
        for frame, seen in zip(features.each_frame(), prepared.each_frame(), strict=True):
            begins = state.slots is None or self.begins_anew
            placed = self._begun(state, frame) if begins else self._predicted(state, frame)
            record.add_prepared(placed)
            correct = partial(self._corrected, is_first=begins, is_prepared=not recompute, state=state)
            placed, attended = recomputed(correct, placed, seen) if recompute else correct(placed, seen)
            if watch is not None:
                watch(state.frame_index, placed.slots)
            seeds = state.noise_seeds
            record.add_corrected(
                placed,
                attended,
                None if seeds is None else spread_seeds(seeds, -2 - state.frame_index),  # apart from those of `_noise`
            )
            state = replace(
                state,
                slots=self.initializer.admit(placed, frame, attended),
                past=self._remembered(state.past, placed, frame),
                frame_index=state.frame_index + 1,
                given=None,
            )
        return state, record.trajectory()

    def _begun(self, state: SlotState, frame: Features) -> PlacedSlots:
        """Slots that the initializer prepares for a frame."""
        noise_index = state.frame_index if self.initializer.noise_per == "frame" else 0
        noise = _noise(state, noise_index)
        begun: PlacedSlots = self.initializer(frame, noise, frame_index=state.frame_index, given=state.given)
        return begun

    def _predicted(self, state: SlotState, frame: Features) -> PlacedSlots:
        """Slots that the predictor prepares for a frame from those before it."""
        assert state.slots is not None
        slots, past = state.slots.slots, state.past
        if self._is_cut(state.frame_index):
            slots = slots.detach()
            past = None if past is None else PastFrames(slots=past.slots.detach(), tokens=past.tokens.detach())
        prepared = self.predictor(slots, frame.tokens[:, 0], past, _noise(state, state.frame_index))
        return replace(state.slots, slots=prepared, guess=None)

    def _is_cut(self, index: int) -> bool:
        if index == 0 or self.bptt == "full":
            return False
        return self.bptt == "detach" or index % int(self.bptt) == 0

    def _corrected(
        self, placed: PlacedSlots, frame: Features, *, is_first: bool, is_prepared: bool, state: SlotState
    ) -> tuple[PlacedSlots, Float[Tensor, "b s n"]]:
        """Slots that have seen the frame, and their attention; a second call draws the same noise."""
        noise = _noise(state, state.frame_index, 1)
        frame = frame if is_prepared else self.corrector.prepare(frame)
        corrected: tuple[PlacedSlots, Tensor] = self.corrector(placed, frame, is_first=is_first, noise=noise)
        return corrected

    def _remembered(self, past: PastFrames | None, placed: PlacedSlots, frame: Features) -> PastFrames | None:
        """What the predictor looks back at, with the newest frame."""
        if not self.predictor.num_past:
            return None
        slots, tokens = placed.slots[:, None], frame.tokens
        if past is not None:
            slots, tokens = torch.cat((past.slots, slots), 1), torch.cat((past.tokens, tokens), 1)
        return PastFrames(slots=slots[:, -self.predictor.num_past :], tokens=tokens[:, -self.predictor.num_past :])


def _noise(state: SlotState, index: int, part: Literal[0, 1] = 0) -> VideoNoise | None:
    """Of one frame: a function of each video's seed and the frame's index alone; part 1 is the corrector's."""
    return None if state.noise_seeds is None else VideoNoise(spread_seeds(state.noise_seeds, 2 * index + part))
