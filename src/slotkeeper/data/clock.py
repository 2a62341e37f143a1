"""When each frame is shown, from stamps that may be missing, repeated, begin again or jump."""

from __future__ import annotations

LONGEST_GAP = 10.0
"""Seconds: where stamps may jump, a step further than this is a jump rather than a pause. FFmpeg takes the same."""
_WRAP = 2**33 / 90_000
"""Seconds after which the stamps of MPEG streams begin again, 26.5 hours (ISO 13818-1, 2.4.3.7)."""


class FrameClock:
    """Ascending times of a video's frames, 0 for the first one.

    A frame without a stamp, or with one that doesn't lie after the one before, is shown a step later than that. Where
    stamps fall back far, times go on from there without a gap.

    Args:
        step: seconds between frames where stamps don't say it.
        may_jump: the format's stamps may also jump forward, and begin again after `_WRAP`.
    """

    def __init__(self, *, step: float, may_jump: bool) -> None:
        self._step = step
        self._may_jump = may_jump
        self._zero: float | None = None  # the stamp of time 0
        self._last: float | None = None  # the time of the last frame

    def time_of(self, stamp: float | None) -> float:
        """The time of the next frame. stamp: seconds, or None."""
        if self._last is None:
            self._zero, self._last = stamp, 0.0
            return 0.0
        following = self._last + self._step
        if stamp is None:
            time = following
        elif self._zero is None:
            time = following
            self._zero = stamp - time
        else:
            time = self._placed(stamp, following)
        self._last = time
        return time

    def _placed(self, stamp: float, following: float) -> float:
        assert self._zero is not None
        assert self._last is not None
        ahead = stamp - self._zero - self._last
        if self._may_jump and abs(ahead) > _WRAP / 2:
            wraps = round(ahead / _WRAP)
            self._zero += wraps * _WRAP
            ahead -= wraps * _WRAP
        if ahead < -LONGEST_GAP or (self._may_jump and ahead > LONGEST_GAP):
            self._zero = stamp - following
            return following
        return stamp - self._zero if ahead > 0 else following
