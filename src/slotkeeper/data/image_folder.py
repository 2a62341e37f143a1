"""Folders of numbered pictures, read as videos."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from slotkeeper.data.derived import DerivedFrames, DerivedMedia
from slotkeeper.data.frames import VideoFrame, VideoInfo, check_picture_size
from slotkeeper.data.media import MediaPath, num_bytes
from slotkeeper.errors import DataError, VideoError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What may stand in such files. Some formats that Pillow knows start other programs (EPS starts Ghostscript)."""

UNREADABLE = (
    *(OSError, ValueError, SyntaxError, TypeError, LookupError, OverflowError, EOFError, RuntimeError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning),
)
"""What Pillow raises where a file is damaged."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which `frame2` stands before `frame10`; letters compare without case."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def list_images(folder: MediaPath) -> list[MediaPath]:
    """Pictures directly in `folder`, in natural order; hidden files are left out."""
    images = [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    return sorted(images, key=lambda image: (natural_key(image.name), image.name))


def media_files(path: MediaPath) -> list[MediaPath]:
    """What a video or its masks are read from, in order: the file itself, or the pictures of a folder.

    Raises:
        DataError: the data set that lists them is damaged.
    """
    if isinstance(path, DerivedMedia):
        return list(path.iterdir())
    return list_images(path) if path.is_dir() else [path]


def image_size(path: MediaPath) -> tuple[int, int]:
    """Width and height as shown (camera orientation applied), from the header alone.

    Raises:
        VideoError: not a picture, or an absurd size.
    """
    with _opened(path) as image, _explained(path):
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.height, image.width) if turned else (image.width, image.height)


def read_image(path: MediaPath) -> UInt8[np.ndarray, "h w 3"]:
    """Decode one picture to RGB, camera orientation applied, transparency dropped.

    Raises:
        VideoError: not a picture, cut off, or an absurd size.
    """
    with _opened(path) as image, _explained(path):
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip at 255
            deep = np.asarray(upright).astype(np.uint32) >> 8
            upright = Image.fromarray(deep.astype(np.uint8))
        return np.asarray(upright.convert("RGB")).copy()


@contextmanager
def _explained(path: MediaPath) -> Iterator[None]:
    """Name the file in whatever goes wrong while its pixels or its notes are decoded."""
    try:
        yield
    except UNREADABLE as error:
        raise VideoError(f"{path} can't be decoded as a picture: {error}") from error


@contextmanager
def _opened(path: MediaPath) -> Iterator[Image.Image]:
    with ExitStack() as stack:
        try:
            image = stack.enter_context(Image.open(stack.enter_context(path.open("rb")), formats=IMAGE_FORMATS))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise VideoError(f"{path} claims an absurd size: {error}") from error
        except UNREADABLE as error:
            reason = "it is empty" if path.is_file() and num_bytes(path) == 0 else str(error)
            raise VideoError(f"{path} is not a readable picture: {reason}") from error
        check_picture_size(image.width, image.height, path)
        yield image


@contextmanager
def _as_video_error(place: MediaPath) -> Iterator[None]:
    """What is wrong with a data set's list or picture is wrong with the video; the sentence names the place."""
    try:
        yield
    except VideoError:
        raise
    except DataError as error:
        raise VideoError(str(error) if str(place) in str(error) else f"{place}: {error}") from error


class ImageFolder:
    """The pictures of one folder as a video of constant rate. fps: of those that know no rate of their own.

    Raises:
        VideoError: the folder has no pictures, or the first one can't be read.
    """

    def __init__(self, path: MediaPath, *, fps: Fraction) -> None:
        self._read: Callable[[Any], UInt8[np.ndarray, "h w 3"]] = read_image
        size: Callable[[Any], tuple[int, int]] = image_size
        if isinstance(path, DerivedFrames):
            fps, self._read, size = path.fps, path.read, path.size
        with _as_video_error(path):
            self._images = media_files(path)
        if not self._images:
            raise VideoError(f"{path} has no frames: expected jpg or png files in it")
        with _as_video_error(self._images[0]):
            width, height = size(self._images[0])
        self.info = VideoInfo(
            width=width,
            height=height,
            num_frames_declared=len(self._images),
            fps=fps,
            duration=float(len(self._images) / fps),
            path=path,
        )

    def frames(self) -> Iterator[VideoFrame]:
        """All frames in order."""
        for index in range(len(self._images)):
            yield self.frame(index)

    def frame(self, index: int) -> VideoFrame:
        """The frame at `index`.

        Raises:
            VideoError: it can't be decoded, or its size differs from the first one's.
        """
        image = self._images[index]
        with _as_video_error(image):
            pixels = self._read(image)
        height, width = pixels.shape[:2]
        if (width, height) != (self.info.width, self.info.height):
            expected = f"{self.info.width}x{self.info.height}"
            raise VideoError(f"{image} is {width}x{height}, but the first frame of its folder is {expected}")
        return VideoFrame(pixels=pixels, time=float(index / self.info.fps), index=index)
