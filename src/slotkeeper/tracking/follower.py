"""One video's slots, frame by frame: who holds each pixel, which slots are background, which object each is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from slotkeeper.tracking.background import BackgroundRule
from slotkeeper.tracking.holders import Holders, area_shares, border_shares, find_holders
from slotkeeper.tracking.lifecycle import SlotLifecycle
from slotkeeper.tracking.rules import TrackingRules


@dataclass(frozen=True, kw_only=True)
class FollowedFrame:
    """One frame's verdict. ids: per slot, the object's id from 1, or 0 where the slot shows none."""

    index: int
    holders: Holders
    ids: Int[np.ndarray, " s"]
    is_background: Bool[np.ndarray, " s"]

    @property
    def segments(self) -> Int[np.ndarray, "h w"]:
        """Object ids per pixel; 0 for background and for slots that show no object."""
        labels: Int[np.ndarray, "h w"] = self.ids.astype(np.int32)[self.holders.slots]
        return labels


@dataclass(frozen=True, kw_only=True)
class _Seen:
    holders: Holders
    shares: Float[np.ndarray, "2 s"]
    vectors: Float[np.ndarray, "s d"]


class SlotFollower:
    """Turns one video's soft masks and slots into objects with ids; one follower per video.

    Frames come back in order, late by at most `background_frames` at the start and by `birth_frames - 1` later, so
    memory doesn't grow with the video.

    Args:
        num_slots: of the model.
        num_background: how many of the first slots the model names as background.
        size: height and width at which segments are wanted.
        rules: all thresholds.
        num_given: how many of the slots after those for the background began with what the user called objects.
        num_tracks: ids that are taken already.
    """

    def __init__(
        self,
        *,
        num_slots: int,
        num_background: int,
        size: tuple[int, int],
        rules: TrackingRules,
        num_given: int = 0,
        num_tracks: int = 0,
    ) -> None:
        self._size = size
        self._rules = rules
        self._background = BackgroundRule(
            num_slots=num_slots, num_background=num_background, rules=rules, num_given=num_given
        )
        given = range(num_background, num_background + num_given)
        self._lifecycle = SlotLifecycle(num_slots=num_slots, rules=rules, given=given, num_tracks=num_tracks)
        self._undecided: list[_Seen] | None = []
        self._decided: deque[tuple[Holders, Bool[np.ndarray, " s"]]] = deque()
        self._num_given = 0

    @property
    def num_tracks(self) -> int:
        """The largest id that is taken."""
        return self._lifecycle.num_tracks

    def push(
        self, masks: Float[Tensor, "s rows columns"], vectors: Float[np.ndarray, "s d"]
    ) -> Iterator[FollowedFrame]:
        """Take in one frame's soft masks and corrected slots; give the frames that are now settled."""
        shares = np.stack([border_shares(masks), area_shares(masks)])
        seen = _Seen(holders=find_holders(masks, self._size), shares=shares, vectors=vectors)
        if self._undecided is None:
            self._background.update(shares)
            self._decide(seen)
        else:
            self._undecided.append(seen)
            if len(self._undecided) >= self._rules.background_frames:
                self._settle_background()
        yield from self._settled()

    def finish(self) -> Iterator[FollowedFrame]:
        """The video is over: give the remaining frames."""
        self._settle_background()
        self._lifecycle.finish()
        yield from self._settled()

    def _settle_background(self) -> None:
        if self._undecided:
            self._background.start(np.stack([seen.shares for seen in self._undecided]))
            for seen in self._undecided:
                self._decide(seen)
        self._undecided = None

    def _decide(self, seen: _Seen) -> None:
        is_background = self._background.is_background
        areas = seen.holders.areas / seen.holders.slots.size
        confidence = seen.holders.confidence
        rules = self._rules
        begins = ~is_background & (areas >= rules.birth_area) & (confidence >= rules.birth_confidence)
        stays = ~is_background & (areas >= rules.keep_area) & (confidence >= rules.keep_confidence)
        has_pixels = seen.holders.areas > 0
        self._lifecycle.push(begins & has_pixels, stays & has_pixels, seen.vectors)
        self._decided.append((seen.holders, is_background))

    def _settled(self) -> Iterator[FollowedFrame]:
        while self._decided and (ids := self._lifecycle.pop()) is not None:
            holders, is_background = self._decided.popleft()
            yield FollowedFrame(index=self._num_given, holders=holders, ids=ids, is_background=is_background)
            self._num_given += 1
