"""Where one shot becomes another little by little: dissolves, and fades through black or white."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Float

from slotkeeper.tracking.rules import TrackingRules
from slotkeeper.tracking.thumbnails import Thumbnail, change_between, differ_in_standard

_SPANS = (8, 16, 24, 32, 48, 64)
"""Frames over which a dissolve is looked for; one is found in the first that holds all of it."""
_STEPS = 16
"""Steps in which a long span is looked at."""
_COARSE = 2
"""Cells of a thumbnail that are averaged on a side: motion then counts for less."""
_INNER = (0.2, 0.8)
"""Shares of the new shot in a picture that is a mixture for certain."""
_NUM_INNER = 3
"""Fewest such pictures: fewer are a sudden change."""
_ARRIVED = 0.9
"""Share of the new shot in a picture in which a dissolve is over."""
_SAG = 0.85
"""Most contrast of a mixture, over the mean of what went in, at which a dissolve can be told from motion."""
_MIXED = (-0.5, 0.3)
"""Contrast in the middle of a dissolve, where 0 is that of a mixture of its ends and 1 is the mean of theirs."""
_STRAY = 0.7
"""Most that pictures of a dissolve differ from mixtures (squares), where 1 is what an edge that passes over makes."""
_FAINT = 0.05
"""Standard deviation of colours over the picture below which they are not compared."""
_FADED = 0.03
"""The same below which a picture is the depth of a fade."""


class DissolveDetector:
    """Tells which frames complete a gradual change to another shot; one detector per video.

    In a dissolve all pictures are mixtures of two. Halfway the contrast of two pictures that have nothing to do with
    each other is less than the mean of theirs: down to 0.71 of it where both are equal. Motion keeps contrast up, and
    a change of light has it rise or fall in proportion. So the signs of a dissolve, in each of a few spans of frames,
    are inner pictures that are mixtures of both ends and have the contrast of these mixtures, and ends that differ by
    more than `cut_change` (`change_between`), at the same brightness and contrast too.

    A fade is a moment of almost no contrast. The pictures on both sides, brought to the same brightness and contrast,
    differ by more than `cut_change` if the shot is another one.

    No frame is held back: the boundary is told when the new shot has taken over. Memory: 65 thumbnails, 1 MB.
    """

    def __init__(self, rules: TrackingRules) -> None:
        self._least = rules.cut_change
        self._recent: deque[_Seen] = deque(maxlen=_SPANS[-1] + 1)
        self._count = 0
        self._is_faded = False

    def restart(self, first: Thumbnail) -> None:
        """A new shot began, with this frame."""
        self._recent.clear()
        self._is_faded = False
        self._recent.append(_Seen(first))

    def push(self, thumbnail: Thumbnail) -> bool:
        """Whether a new shot has taken over with this frame."""
        spread = float(thumbnail.std(axis=(0, 1)).max())
        if spread < _FAINT:
            self._is_faded |= spread < _FADED
            return False
        is_new = self._is_faded and self._differs_beyond_fade(thumbnail)
        self._is_faded = False
        self._recent.append(_Seen(thumbnail))
        self._count += 1
        if is_new or any(self._is_dissolve(span) for span in _SPANS):
            self.restart(thumbnail)
            return True
        return False

    def _differs_beyond_fade(self, thumbnail: Thumbnail) -> bool:
        return bool(self._recent) and differ_in_standard(self._recent[-1].thumbnail, thumbnail, self._least)

    def _is_dissolve(self, span: int) -> bool:
        step = max(1, span // _STEPS)
        if len(self._recent) <= span or self._count % step:
            return False
        first, last = self._recent[-1 - span], self._recent[-1]
        way = last.coarse - first.coarse
        length = float(way @ way) + 1e-9
        if (self._recent[-1 - span // 8].coarse - first.coarse) @ way < _ARRIVED * length:
            return False
        seen = [self._recent[place] for place in range(-1 - span, -1, step)]
        strays = np.stack([item.coarse for item in seen]) - first.coarse
        shares = strays @ way / length
        strays -= shares[:, None] * way
        inner = (shares > _INNER[0]) & (shares < _INNER[1])
        if inner.sum() < _NUM_INNER:
            return False
        strays, shares = strays[inner], shares[inner]
        # An edge that passes over leaves each cell either old or new, which strays by share * (1 - share).
        if np.median((strays**2).sum(axis=1) / (shares * (1 - shares))) > _STRAY * length:
            return False
        old, new = (1 - shares) * first.contrast, shares * last.contrast
        likeness = float(first.slopes() @ last.slopes()) / (first.contrast * last.contrast)
        mean, mixture = old + new, np.sqrt(np.maximum(0, old**2 + new**2 + 2 * likeness * old * new))
        contrasts = np.array([item.contrast for item in seen])[inner]
        return bool(
            (mixture / mean).min() < _SAG
            and _MIXED[0] < np.median((contrasts - mixture) / (mean - mixture)) < _MIXED[1]
            and change_between(first.thumbnail, last.thumbnail, self._least) > self._least
            and differ_in_standard(first.thumbnail, last.thumbnail, self._least)
        )


class _Seen:
    """A frame that is remembered. contrast: root of the summed squares of `slopes`."""

    def __init__(self, thumbnail: Thumbnail) -> None:
        side = thumbnail.shape[0] // _COARSE
        self.thumbnail = thumbnail
        self.coarse = thumbnail.reshape(side, _COARSE, side, _COARSE, 3).mean(axis=(1, 3)).ravel()
        slopes = self.slopes()
        self.contrast = float(np.sqrt(slopes @ slopes)) + 1e-6

    def slopes(self) -> Float[np.ndarray, " n"]:
        """Differences between neighbouring cells."""
        return np.concatenate([np.diff(self.thumbnail, axis=axis).ravel() for axis in (0, 1)])
