"""What every source of frames gives: a frame with its time, and what is known before any frame is read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from slotkeeper.data.media import MediaPath
from slotkeeper.errors import VideoError

MAX_PIXELS = 2**26
"""Largest picture that is decoded (8192 x 8192): a damaged header can claim sizes that would fill the memory."""


@dataclass(frozen=True, kw_only=True)
class VideoFrame:
    """One frame as a viewer shows it, rotation applied.

    pixels: RGB. time: seconds since the video's first frame. index: counts the frames that were read, from 0.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    time: float
    index: int


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video says about itself.

    width, height: pixels after rotation. num_frames_declared: None where the container doesn't say (mkv, webm).
    fps: mean frames per second. duration: seconds; None where unknown.
    """

    width: int
    height: int
    num_frames_declared: int | None
    fps: Fraction
    duration: float | None
    path: MediaPath

    @property
    def num_frames_expected(self) -> int | None:
        """The declared count, else duration times rate, else None: good for progress bars, not for exactness."""
        if self.num_frames_declared is not None:
            return self.num_frames_declared
        return None if self.duration is None else round(self.duration * self.fps)


def check_picture_size(width: int, height: int, path: MediaPath) -> None:
    """Refuse pictures above `MAX_PIXELS`.

    Raises:
        VideoError: names the file, its size and the limit.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(f"{path} claims {width}x{height} pixels; at most {MAX_PIXELS} pixels in a frame are read")
