"""When a slot's object is born, hidden, and back: ids from the occupancy of slots."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from slotkeeper.tracking.rules import TrackingRules


@dataclass
class _Slot:
    """One slot's history: its present or last object and, while a new one is not yet believed, since when it shows."""

    track_id: int = 0
    is_shown: bool = False
    seen_at: int = -1
    seen_as: Float[np.ndarray, " d"] = field(default_factory=lambda: np.zeros(0))
    candidate_since: int | None = None


class SlotLifecycle:
    """Gives ids to the slots of one video, frame by frame, from 1 and never twice.

    An empty slot that shows something for `birth_frames` frames in a row holds an object: its former one, if the
    slot's vector is still similar to when that was last seen and not too long ago, else a new one. Ids are filled in
    from the first of these frames on; `pop` gives frames that can't change any more. The first objects of the slots in
    `given` have the ids 1, 2 and so on in this order, others those after. num_tracks: ids that are taken already, by
    earlier shots of the video.
    """

    def __init__(self, *, num_slots: int, rules: TrackingRules, given: range = range(0), num_tracks: int = 0) -> None:
        self._rules = rules
        self._reserved = {slot: number for number, slot in enumerate(given, start=num_tracks + 1)}
        self._slots = [_Slot() for _ in range(num_slots)]
        self._pending: deque[Int[np.ndarray, " s"]] = deque()
        self._num_frames = 0
        self._num_tracks = num_tracks + len(given)
        self._is_finished = False
        self._latest: Float[np.ndarray, "s d"] = np.zeros((num_slots, 0))

    @property
    def num_tracks(self) -> int:
        """The largest id that is taken."""
        return self._num_tracks

    def push(
        self,
        begins: Bool[np.ndarray, " s"],
        stays: Bool[np.ndarray, " s"],
        vectors: Float[np.ndarray, "s d"],
    ) -> None:
        """Take in one frame.

        Args:
            begins: slots that show enough for an object to be born.
            stays: slots that show enough for an object to stay; true wherever `begins` is.
            vectors: the slots after seeing this frame.
        """
        self._pending.append(np.zeros(len(self._slots), dtype=np.int64))
        self._latest = vectors
        self._num_frames += 1
        for index, slot in enumerate(self._slots):
            if not stays[index]:
                slot.is_shown = False
                slot.candidate_since = None
                continue
            if not slot.is_shown and slot.candidate_since is None and begins[index]:
                slot.candidate_since = self._num_frames - 1
            if slot.candidate_since is not None and self._num_frames - slot.candidate_since >= self._rules.birth_frames:
                self._believe(index)
            if slot.is_shown:
                self._see(index, is_clear=bool(begins[index]))

    def finish(self) -> None:
        """The video is over: what has shown since its first frame is believed, younger candidates are dropped."""
        for index, slot in enumerate(self._slots):
            if slot.candidate_since == 0:
                self._believe(index)
        self._is_finished = True

    def pop(self) -> Int[np.ndarray, " s"] | None:
        """Ids per slot (0: no object) of the oldest frame not yet given, or None while it may still change."""
        held_back = 0 if self._is_finished else self._rules.birth_frames - 1
        return self._pending.popleft() if len(self._pending) > held_back else None

    def _believe(self, index: int) -> None:
        """The slot's candidate is an object: its former one or a new one, from the candidate's first frame on."""
        slot = self._slots[index]
        since = slot.candidate_since
        assert since is not None
        if not self._is_back(slot, self._latest[index], since):
            slot.track_id = self._reserved.pop(index, 0) or self._next_id()
            slot.seen_as = self._latest[index].copy()
        slot.is_shown = True
        slot.candidate_since = None
        first_pending = self._num_frames - len(self._pending)
        for frame in range(since, self._num_frames):
            self._pending[frame - first_pending][index] = slot.track_id

    def _next_id(self) -> int:
        self._num_tracks += 1
        return self._num_tracks

    def _see(self, index: int, *, is_clear: bool) -> None:
        slot = self._slots[index]
        self._pending[-1][index] = slot.track_id
        slot.seen_at = self._num_frames - 1
        if is_clear:  # the vector of a slot that shows a sliver may be half somebody else's
            slot.seen_as = self._latest[index].copy()

    def _is_back(self, slot: _Slot, vector: Float[np.ndarray, " d"], since: int) -> bool:
        if slot.track_id == 0 or since - slot.seen_at - 1 > self._rules.max_hidden_frames:
            return False
        return _cosine(slot.seen_as, vector) >= self._rules.return_similarity


def _cosine(one: Float[np.ndarray, " d"], other: Float[np.ndarray, " d"]) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else 0.0
