"""What is said about a tracked video in its results."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A tracked video. name: of the source file. stem: of the results. problem: why frames are missing, or None.

    start: what the user gave about its first frame, in words, or None. cuts: frames that begin a new shot. crowding: a
    sentence where objects may have found no slot, or None.
    """

    name: str
    stem: str
    width: int
    height: int
    fps: Fraction
    num_frames: int
    model: str = ""
    start: str | None = None
    problem: str | None = None
    cuts: tuple[int, ...] = ()
    crowding: str | None = None
