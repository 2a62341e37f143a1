"""What a video as a whole showed while it was tracked: cuts between shots, and frames in which no slot was left."""

from __future__ import annotations

from slotkeeper.errors import counted
from slotkeeper.tracking.tracked import TrackedFrame

_WORTH_SAYING = 8
"""Frames without a free slot from which on a sentence is due; a few may be a passing fragment."""


class ShotLog:
    """Gathers what `add` is given; a number per cut and a few in all.

    cuts: indices of frames that begin a new shot.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._num_full = 0
        self._first_full = 0
        self._num_frames = 0
        self._most = 0

    def add(self, frame: TrackedFrame) -> None:
        """Take in one frame."""
        self._num_frames += 1
        if frame.is_cut:
            self.cuts.append(frame.index)
        room = int((~frame.is_background).sum())
        if room and len(frame.objects) >= room:
            self._first_full = self._first_full if self._num_full else frame.index
            self._num_full += 1
            self._most = max(self._most, room)

    @property
    def crowding(self) -> str | None:
        """A sentence if objects may have found no slot, else None."""
        if self._num_full < _WORTH_SAYING:
            return None
        return (
            f"every slot for objects (up to {self._most}) is in use in {self._num_full} of "
            f"{counted(self._num_frames, 'frame')}, first in frame {self._first_full}; "
            "there may be more objects than slots"
        )
