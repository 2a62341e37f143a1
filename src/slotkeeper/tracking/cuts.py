"""Where a video is cut: frame by frame, a few frames late, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional

from slotkeeper.data.frames import VideoFrame
from slotkeeper.data.resizing import resize_frames
from slotkeeper.errors import VideoError
from slotkeeper.tracking.rules import TrackingRules

_SIDE = 32
"""Cells of a side of the picture that frames are compared on."""
_REACH = 2
"""Cells that things may move between two frames: a sixteenth of the picture."""
_TOLERANCE = 0.05
"""How far a colour, in [0, 1], may lie outside those around its place in the other frame."""
_SUBSAMPLED = 256
"""Larger frames are thinned out to about this side first, so that 4K costs no more."""
_OUTSTANDING = 5.0
"""How many times the change that is usual around it a cut's change is at least."""
_BLANK = 0.02
"""Standard deviation of colours over the picture below which a frame shows nothing."""
_MEMORY = 8
"""Frames over which that change is averaged."""

_Thumbnail = Float[np.ndarray, "side side 3"]


@dataclass(frozen=True, kw_only=True)
class _Held:
    frame: VideoFrame
    thumbnail: _Thumbnail


class CutDetector:
    """Tells which frames begin a new shot; one detector per video.

    Two frames differ by the share of the picture that can't come from the other one by motion: cells whose colour lies
    outside the colours found up to a sixteenth of the picture away. Both ways round and with the overall brightness
    taken out, the smallest of these counts: so one thing that appears or vanishes, or a lamp that flickers, isn't much.
    A frame begins a new shot if it differs from the one before by more than `cut_change`, by five times what is usual
    before and after it, and if none of the next `flash_frames` frames looks again like the one before. Blank frames,
    such as a moment of black, are passed over: what follows is compared with what was before them.

    Frames come back in order, late by at most `flash_frames` after a sudden change and else at once.
    """

    def __init__(self, rules: TrackingRules) -> None:
        self._rules = rules
        self._before: _Thumbnail | None = None
        self._usual = 0.0
        self._held: deque[_Held] = deque()

    def push(self, frame: VideoFrame) -> Iterator[tuple[VideoFrame, bool]]:
        """Take in a frame; give those that are settled, and whether each begins a new shot."""
        if self._rules.cut_change >= 1:
            yield frame, False
        else:
            yield from self._take(_Held(frame=frame, thumbnail=thumbnail_of(frame.pixels)))

    def finish(self) -> Iterator[tuple[VideoFrame, bool]]:
        """The video is over: a change that was not undone is a cut."""
        while self._held:
            yield from self._decide()

    def _take(self, seen: _Held) -> Iterator[tuple[VideoFrame, bool]]:
        if not self._held and seen.thumbnail.std(axis=(0, 1)).max() < _BLANK:
            yield seen.frame, False
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
        yield from self._release([*self._held, seen])  # held ones were a flash

    def _decide(self) -> Iterator[tuple[VideoFrame, bool]]:
        """No held frame looks like what was before: a cut, if the change stands out from those that follow."""
        held = list(self._held)
        assert self._before is not None
        least = self._rules.cut_change
        after = [change_between(a.thumbnail, b.thumbnail, least) for a, b in pairwise(held)]
        usual = float(np.median(after)) if after else 0.0
        first, *rest = held
        if change_between(self._before, first.thumbnail, least) <= _OUTSTANDING * usual:
            self._usual = usual
            yield from self._release(held)
            return
        self._held.clear()
        self._before, self._usual = first.thumbnail, usual
        yield first.frame, True
        for seen in rest:
            yield from self._take(seen)

    def _release(self, seen: list[_Held]) -> Iterator[tuple[VideoFrame, bool]]:
        self._held.clear()
        self._before = seen[-1].thumbnail
        for item in seen:
            yield item.frame, False

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


def thumbnail_of(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "side side 3"]:
    """A frame in 32 x 32 cells, RGB in [0, 1]."""
    down, right = (max(1, side // _SUBSAMPLED) for side in pixels.shape[:2])
    thinned = np.ascontiguousarray(pixels[::down, ::right])
    small: _Thumbnail = resize_frames(thinned[None], (_SIDE, _SIDE))[0].astype(np.float32) / 255
    return small


def change_between(
    before: Float[np.ndarray, "side side 3"], after: Float[np.ndarray, "side side 3"], least: float = 0.0
) -> float:
    """Share of the picture that motion and brightness don't explain, in [0, 1].

    0 at once where it can't exceed `least`, as in most frames.
    """
    if np.mean(np.abs(before - after).max(axis=-1) > _TOLERANCE) <= least:
        return 0.0
    brighter = float(np.median(after) - np.median(before))
    ways = ((before, after, 0.0), (before, after, brighter), (after, before, 0.0), (after, before, -brighter))
    return min(_strange(one, other - offset) for one, other, offset in ways)


def _strange(known: Float[np.ndarray, "side side 3"], new: Float[np.ndarray, "side side 3"]) -> float:
    """Share of cells of `new` whose colour lies outside those of `known` around their place."""
    planes = torch.from_numpy(known).permute(2, 0, 1)
    bounds = functional.max_pool2d(torch.cat((planes, -planes))[None], 2 * _REACH + 1, stride=1, padding=_REACH)[0]
    high, low = bounds[:3].permute(1, 2, 0).numpy(), -bounds[3:].permute(1, 2, 0).numpy()
    is_strange = (new < low - _TOLERANCE) | (new > high + _TOLERANCE)
    return float(is_strange.any(axis=-1).mean())
