"""Frames and masks that are made of a data set's own files whenever they are read, so that nothing is converted."""

from __future__ import annotations

import io
from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from jaxtyping import UInt, UInt8

from slotkeeper.data.media import MediaPath


@dataclass(frozen=True, kw_only=True)
class DerivedMedia(ABC):
    """A `MediaPath` that looks like a folder of the files that it is made of.

    name: as of a path. place: how errors name it. files: in order; raises a DataError where they can't be told.
    """

    name: str
    place: str
    files: Callable[[], Sequence[Path]] = field(compare=False)

    def __str__(self) -> str:
        return self.place

    @property
    def suffix(self) -> str:
        """As `MediaPath.suffix`."""
        return PurePosixPath(self.name).suffix

    def exists(self) -> bool:
        """The data set lists it; whether its files are there shows when they are read."""
        return True

    def is_dir(self) -> bool:
        """It is, in a way."""
        return True

    def is_file(self) -> bool:
        """It is a folder."""
        return False

    def iterdir(self) -> Iterator[MediaPath]:
        """All that it is made of."""
        return iter(self.files())

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """There are no bytes of its own."""
        raise IsADirectoryError(str(self))


@dataclass(frozen=True, kw_only=True)
class DerivedFrames(DerivedMedia):
    """A video of one file a frame. fps: frames per second. read: one frame of its file. size: its width and height.

    Both raise a DataError.
    """

    fps: Fraction
    size: Callable[[Path], tuple[int, int]] = field(compare=False)
    read: Callable[[Path], UInt8[np.ndarray, "h w 3"]] = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class DerivedMasks(DerivedMedia):
    """Labels of a whole video. shape: frames, height, width, without reading much. Both raise a DataError."""

    load: Callable[[], UInt[np.ndarray, "t h w"]] = field(compare=False)
    shape: Callable[[], tuple[int, int, int]] = field(compare=False)
