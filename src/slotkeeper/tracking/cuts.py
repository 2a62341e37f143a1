"""Where a video is cut: frame by frame, a few frames late, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from slotkeeper.data.frames import VideoFrame
from slotkeeper.errors import VideoError
from slotkeeper.tracking.dissolves import DissolveDetector
from slotkeeper.tracking.rules import TrackingRules
from slotkeeper.tracking.thumbnails import (
    Thumbnail,
    change_between,
    differ_in_standard,
    difference_between,
    outside_quarter,
    thumbnail_of,
)

_OUTSTANDING = 5.0
"""How many times the change that is usual around it a cut's change is at least."""
_BLANK = 0.02
"""Standard deviation of colours over the picture below which a frame shows nothing."""
_MEMORY = 8
"""Frames over which that change is averaged."""
_ELSEWHERE = 1.5
"""How many times what stirs from frame to frame a cut's change is at least where the picture changes least."""
_STILL = 0.004
"""Difference of colours that is added to what stirs: still pictures have a little noise."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    frame: VideoFrame
    thumbnail: Thumbnail


class CutDetector:
    """Tells which frames begin a new shot; one detector per video.

    Two frames differ by the share of the picture that can't come from the other one by motion: cells whose colour lies
    outside the colours found up to a sixteenth of the picture away. Both ways round and with the overall brightness
    taken out, the smallest of these counts: so one thing that appears or vanishes, or a lamp that flickers, isn't much.
    A frame begins a new shot if it differs from the one before by more than `cut_change`, at one brightness and
    contrast, too, by five times what is usual before and after it, if none of the next `flash_frames` frames looks
    again like the one before, and if it isn't one thing that appears, while all but a quarter of the picture goes on as
    before. Blank frames, such as a moment of black, are passed over: what follows is compared with what was before
    them. `DissolveDetector` adds gradual changes.

    Frames come back in order, late by at most `flash_frames` after a sudden change and else at once.
    """

    def __init__(self, rules: TrackingRules) -> None:
        self._rules = rules
        self._dissolves = DissolveDetector(rules)
        self._before: Thumbnail | None = None
        self._usual = 0.0
        self._stir = np.zeros(1, dtype=np.float32)
        self._held: deque[_Held] = deque()

    def push(self, frame: VideoFrame) -> Iterator[tuple[VideoFrame, bool]]:
        """Take in a frame; give those that are settled, and whether each begins a new shot."""
        if self._rules.cut_change >= 1:
            yield frame, False
        else:
            yield from self._settled(self._take(_Held(frame=frame, thumbnail=thumbnail_of(frame.pixels))))

    def finish(self) -> Iterator[tuple[VideoFrame, bool]]:
        """The video is over: a change that was not undone is a cut."""
        while self._held:
            yield from self._settled(self._decide())

    def _settled(self, decided: Iterator[tuple[_Held, bool]]) -> Iterator[tuple[VideoFrame, bool]]:
        """Add gradual changes to sudden ones."""
        for seen, is_sudden in decided:
            if is_sudden:
                self._dissolves.restart(seen.thumbnail)
            yield seen.frame, is_sudden or self._dissolves.push(seen.thumbnail)

    def _take(self, seen: _Held) -> Iterator[tuple[_Held, bool]]:
        if not self._held and seen.thumbnail.std(axis=(0, 1)).max() < _BLANK:
            yield seen, False
            return
        change = 0.0 if self._before is None else change_between(self._before, seen.thumbnail, self._rules.cut_change)
        is_sudden = change > self._threshold()
        if is_sudden:
            self._held.append(seen)
            if len(self._held) > self._rules.flash_frames:
                yield from self._decide()
            return
        if not self._held:
            self._usual += (change - self._usual) / _MEMORY
            if self._before is not None:
                self._stir = difference_between(self._before, seen.thumbnail)
        yield from self._release([*self._held, seen])  # held ones were a flash

    def _decide(self) -> Iterator[tuple[_Held, bool]]:
        """No held frame looks like what was before: a cut, if the change stands out and is one of the whole picture."""
        held = list(self._held)
        assert self._before is not None
        least = self._rules.cut_change
        after = [change_between(a.thumbnail, b.thumbnail, least) for a, b in pairwise(held)]
        usual = float(np.median(after)) if after else 0.0
        first, *rest = held
        change = change_between(self._before, first.thumbnail, least)
        if (
            change <= _OUTSTANDING * usual
            or not differ_in_standard(self._before, first.thumbnail, least)
            or self._is_one_thing(difference_between(self._before, first.thumbnail))
        ):
            self._usual = usual
            yield from self._release(held)
            return
        self._held.clear()
        self._before, self._usual = first.thumbnail, usual
        yield first, True
        for seen in rest:
            yield from self._take(seen)

    def _is_one_thing(self, difference: Float[np.ndarray, "side side"]) -> bool:
        """Whether the picture goes on as before outside the quarter that changes most."""
        outside = outside_quarter(difference)
        stir = float(np.broadcast_to(self._stir, difference.shape)[outside].mean())
        return float(difference[outside].mean()) < _ELSEWHERE * (stir + _STILL)

    def _release(self, seen: list[_Held]) -> Iterator[tuple[_Held, bool]]:
        self._held.clear()
        self._before = seen[-1].thumbnail
        for item in seen:
            yield item, False

    def _threshold(self) -> float:
        return max(self._rules.cut_change, _OUTSTANDING * self._usual)


def mark_cuts(frames: Iterable[VideoFrame], rules: TrackingRules) -> Iterator[tuple[VideoFrame, bool]]:
    """Each frame, and whether it begins a new shot.

    Raises:
        VideoError: as reading the frames does, after all frames read before have been given.
    """
    detector = CutDetector(rules)
    try:
        for frame in frames:
            yield from detector.push(frame)
    except VideoError:
        yield from detector.finish()
        raise
    yield from detector.finish()
