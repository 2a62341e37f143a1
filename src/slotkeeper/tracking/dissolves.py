"""Where one shot becomes another little by little: dissolves, and fades through black or white."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Float

from slotkeeper.tracking.rules import TrackingRules
from slotkeeper.tracking.thumbnails import Thumbnail, change_between

_SPANS = (8, 16, 32, 64)
"""Frames over which a dissolve is looked for; one is found in the first that holds all of it."""
_SAMPLES = 16
"""Frames of a span that are looked at, at most."""
_COARSE = 2
"""Cells of a thumbnail that are averaged on a side: motion then counts for less."""
_SAG = 0.84
"""Most contrast in a dissolve's middle, over what a change of light between the same two contrasts would have there."""
_STRAY = 0.2
"""Most that the middle differs from a mixture of both ends, over what they differ from each other (squares)."""
_ARRIVED = 0.93
"""Share of the new shot in a picture in which a dissolve is over."""
_FAINT = 0.05
"""Standard deviation of colours over the picture below which a fade is so deep that colours can't be compared."""
_STANDARD = 0.2
"""Standard deviation that pictures on both sides of a fade are brought to."""


class DissolveDetector:
    """Tells which frames complete a gradual change to another shot; one detector per video.

    In a dissolve all pictures are mixtures of two. Halfway the contrast of two pictures that have nothing to do with each
    other is less than the mean of theirs: down to 0.71 of it where both are equal. Motion keeps contrast up, and a
    change of light has it rise or fall in proportion. So the signs of a dissolve are a middle with little contrast that
    is a mixture of both ends, and ends that differ by more than `cut_change` (`change_between`).

    A fade is a moment of almost no contrast. The pictures on both sides, brought to the same brightness and contrast,
    differ by more than `cut_change` if the shot is another one.

    No frame is held back: the boundary is told when the new shot has taken over. Memory: 65 thumbnails.
    """

    def __init__(self, rules: TrackingRules) -> None:
        self._least = rules.cut_change
        self._recent: deque[Thumbnail] = deque(maxlen=_SPANS[-1] + 1)
        self._coarse: deque[Float[np.ndarray, " n"]] = deque(maxlen=_SPANS[-1] + 1)
        self._contrasts: deque[float] = deque(maxlen=_SPANS[-1] + 1)
        self._clear: Thumbnail | None = None
        self._is_faint = False
        self._count = 0

    def restart(self, first: Thumbnail) -> None:
        """A new shot began, with this frame."""
        for memory in (self._recent, self._coarse, self._contrasts):
            memory.clear()
        self._clear, self._is_faint = None, False
        self._remember(first)

    def push(self, seen: Thumbnail) -> bool:
        """Whether a new shot has taken over with this frame."""
        is_faint = bool(seen.std(axis=(0, 1)).max() < _FAINT)
        was_faint, self._is_faint = self._is_faint, is_faint
        if is_faint:
            return False
        is_new = was_faint and self._differs_beyond_fade(seen)
        if not is_new:
            self._remember(seen)
            is_new = any(self._is_dissolve(span) for span in _SPANS)
        if is_new:
            self.restart(seen)
        return is_new

    def _remember(self, seen: Thumbnail) -> None:
        side = seen.shape[0] // _COARSE
        coarse = seen.reshape(side, _COARSE, side, _COARSE, 3).mean(axis=(1, 3))
        slopes = [np.diff(seen, axis=axis) for axis in (0, 1)]
        self._recent.append(seen)
        self._coarse.append(coarse.ravel())
        self._contrasts.append(float(np.sqrt(sum(np.vdot(slope, slope) for slope in slopes))))
        self._clear = seen
        self._count += 1

    def _differs_beyond_fade(self, seen: Thumbnail) -> bool:
        if self._clear is None:
            return False
        return change_between(_standard(self._clear), _standard(seen), self._least) > self._least

    def _is_dissolve(self, span: int) -> bool:
        step = max(1, span // _SAMPLES)
        if len(self._recent) <= span or self._count % step:
            return False
        places = range(len(self._recent) - 1 - span, len(self._recent), step)
        pictures = np.stack([self._coarse[place] for place in places])
        contrasts = np.array([self._contrasts[place] for place in places])
        way = pictures[-1] - pictures[0]
        length = float(way @ way)
        if length == 0:
            return False
        shares = (pictures - pictures[0]) @ way / length
        inner = np.flatnonzero((shares > 0.15) & (shares < 0.85))
        if not len(inner) or shares[-1 - len(shares) // 8] < _ARRIVED:
            return False
        sags = contrasts[inner] / (contrasts[0] + shares[inner] * (contrasts[-1] - contrasts[0]))
        middle = inner[sags.argmin()]
        stray = pictures[middle] - pictures[0] - shares[middle] * way
        if sags.min() > _SAG or float(stray @ stray) > _STRAY * length:
            return False
        first, last = self._recent[places[0]], self._recent[places[-1]]
        return change_between(first, last, self._least) > self._least


def _standard(seen: Thumbnail) -> Thumbnail:
    """The same picture at a fixed brightness and contrast."""
    normed: Thumbnail = (seen - seen.mean()) * (_STANDARD / seen.std()) + 0.5
    return normed
