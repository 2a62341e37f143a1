"""Cell Tracking Challenge (Maška et al., Nature Methods 2023): 16-bit TIFF pictures of cells that move and divide.

`01/t000.tif`, `01_GT/TRA/man_track000.tif` (a marker for each cell, its number the same through time), `man_track.txt`
(number, first frame, last frame, mother), `01_GT/SEG` or `01_ST/SEG` (outlines, numbered anew in each picture).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image

from slotkeeper.data.derived import DerivedFrames, DerivedMasks
from slotkeeper.data.image_folder import IMAGE_FORMATS, UNREADABLE
from slotkeeper.data.segments import read_mask
from slotkeeper.data.sources.pictures import labels_of
from slotkeeper.data.sources.source import FolderSource, SourceVideo, VideoContent
from slotkeeper.errors import DataError

_FPS = Fraction(6)  # cells are looked at every few minutes; this is for the eye
_BRIGHTEST_SHARE = 99.9  # percent of pixels that are not clipped


class CellTracking(FolderSource):
    """One set of the challenge, such as `Fluo-N2DH-SIM+`, or a folder of several; two-dimensional ones."""

    expects = "01/t000.tif with 01_GT/TRA/man_track000.tif (a set of the Cell Tracking Challenge, or a folder of sets)"

    def videos(self) -> Iterator[SourceVideo]:
        """A video for each numbered folder."""
        folders = sorted({path.parent for path in self.find("t[0-9][0-9][0-9]*.tif") if path.parent.name.isdecimal()})
        if not folders:
            raise self.missing()
        for folder in folders:
            name = "/".join(folder.relative_to(self.root).parts[-2:]) if folder != self.root else folder.name
            cells = _Cells(folder, self.inside)
            yield SourceVideo(
                video_id=name,
                split=None,
                place=str(folder),
                read=cells.content,
                files=(*cells.frames(), *cells.mask_files()),
                video=cells.video(),
                masks=cells.masks(),
            )


class _Cells:
    """One video of a set: its files, and how they are read.

    Args:
        folder: of its pictures.
        inside: refuses files that lead out of the set.
    """

    def __init__(self, folder: Path, inside: Callable[[Path], Path]) -> None:
        self._folder = folder
        self._truth = folder.with_name(f"{folder.name}_GT") / "TRA"
        self._inside = inside
        self._pictures = _numbered(folder, "t")
        self._markers = _numbered(self._truth, "man_track")

    def video(self) -> DerivedFrames:
        """The frames where they lie."""
        name, place = self._folder.name, str(self._folder)
        return DerivedFrames(name=name, place=place, files=self.frames, fps=_FPS, size=self._size, read=self.frame)

    def masks(self) -> DerivedMasks | None:
        """The labels where they lie, if there are any."""
        if not self._markers:
            return None
        name, place = self._truth.parent.name, str(self._truth)
        return DerivedMasks(name=name, place=place, files=self.mask_files, load=self._labels, shape=self._shape)

    def content(self) -> VideoContent:
        """Frames, labels and all that is known."""
        black, white = self._extent
        facts: dict[str, Any] = {"gray": {"black": black, "white": white}}
        segments: UInt[np.ndarray, "t h w"] | None = None
        objects: list[dict[str, Any]] = []
        if self._markers:
            segments = self._labels()
            facts["masks"] = "outlines of cells" if self._outlines()[1] else "markers of cells, not their outlines"
            path = self._truth / "man_track.txt"
            objects = _cells(self._inside(path) if path.is_file() else None, segments)
        frames = map(self.frame, self.frames())
        return VideoContent(frames=frames, fps=_FPS, segments=segments, objects=objects, facts=facts)

    def frames(self) -> list[Path]:
        """All pictures in order."""
        return list(self._pictures.values())

    def mask_files(self) -> list[Path]:
        """Of markers, and of outlines if there are any."""
        _, outlines = self._outlines()
        return [*self._markers.values(), *outlines]

    @cached_property
    def _extent(self) -> tuple[float, float]:
        """The values that become black and white; 8-bit pictures stay as they are. All pictures are read."""
        extent = [
            (frame.min(), np.percentile(frame, _BRIGHTEST_SHARE), frame.dtype)
            for frame in map(self._gray, self.frames())
        ]
        if all(dtype == np.uint8 for _, _, dtype in extent):
            return 0.0, 255.0
        low = float(min(least for least, _, _ in extent))
        return low, max(float(max(most for _, most, _ in extent)), low + 1)

    def frame(self, file: Path) -> UInt8[np.ndarray, "h w 3"]:
        """One picture with 8 bits."""
        low, high = self._extent
        scaled = np.clip((self._gray(file) - low) / (high - low) * 255, 0, 255).round().astype(np.uint8)
        return np.repeat(scaled[..., None], 3, axis=2)

    def _size(self, file: Path) -> tuple[int, int]:
        height, width = self._gray(file).shape
        return width, height

    def _shape(self) -> tuple[int, int, int]:
        height, width = read_mask(self._inside(next(iter(self._markers.values())))).shape
        return len(self._markers), height, width

    def _labels(self) -> UInt[np.ndarray, "t h w"]:
        """Outlines of cells if every picture has some, otherwise their markers."""
        if self._markers.keys() != self._pictures.keys():
            counts = f"markers of {len(self._markers)} pictures, but {self._folder} has {len(self._pictures)}"
            raise DataError(f"{self._truth} has {counts}")
        markers = _labels([self._inside(file) for file in self._markers.values()], str(self._truth))
        place, files = self._outlines()
        if not files:
            return markers
        outlines = _labels([self._inside(file) for file in files], str(place))
        if outlines.shape != markers.shape:
            raise DataError(f"{self._folder}: outlines and markers differ in size")
        return _tracked(outlines, markers)

    def _outlines(self) -> tuple[Path | None, list[Path]]:
        """The first folder of outlines that has one for every picture: those of people, then those of programs."""
        for truth in ("GT", "ST"):
            place = self._folder.with_name(f"{self._folder.name}_{truth}") / "SEG"
            files = _numbered(place, "man_seg")
            if self._pictures.keys() <= files.keys():
                return place, [files[number] for number in self._pictures]
        return None, []

    def _gray(self, file: Path) -> UInt[np.ndarray, "h w"]:
        check_flat(self._inside(file))
        return read_mask(file)


def check_flat(path: Path) -> None:
    """Refuse pictures of several layers, and those whose values don't fit 16 bits.

    Raises:
        DataError: it is one, or can't be read.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            num_layers, mode = getattr(image, "n_frames", 1), image.mode
    except UNREADABLE as error:
        raise DataError(f"{path} can't be read as a picture: {error}") from error
    if num_layers != 1:
        raise DataError(f"{path} has {num_layers} layers; only two-dimensional sets are read")
    if mode not in ("1", "L", "P", "I;16", "I;16B", "I;16L"):
        raise DataError(f"{path} is a {mode} picture, expected grey with 8 or 16 bits")


def _numbered(folder: Path, prefix: str) -> dict[int, Path]:
    files = folder.glob(f"{prefix}*.tif") if folder.is_dir() else ()
    numbered = ((re.fullmatch(rf"{prefix}(\d{{3,6}})", file.stem), file) for file in sorted(files))
    found = {int(match[1]): file for match, file in numbered if match}
    return dict(sorted(found.items()))


def _labels(files: list[Path], place: str) -> UInt[np.ndarray, "t h w"]:
    for file in files:
        check_flat(file)
    return labels_of(files, place)


def _tracked(outlines: UInt[np.ndarray, "t h w"], markers: UInt[np.ndarray, "t h w"]) -> UInt[np.ndarray, "t h w"]:
    """Outlines with the numbers of the markers that cover most of them; those without a marker are left out."""
    tracked = np.zeros_like(markers)
    for outline, marker, frame in zip(outlines, markers, tracked, strict=True):
        both = (outline > 0) & (marker > 0)
        pairs, counts = np.unique(np.stack([outline[both], marker[both]]).astype(np.int64), axis=1, return_counts=True)
        for place in np.argsort(counts, kind="stable"):  # the most frequent number comes last
            own, number = pairs[:, place]
            frame[outline == own] = number
    return tracked


def _cells(lineage: Path | None, segments: UInt[np.ndarray, "t h w"]) -> list[dict[str, Any]]:
    """Number, first and last frame and mother of every cell."""
    if lineage is None:
        return [{"id": int(label)} for label in np.unique(segments[segments > 0])]
    try:
        rows = [
            [int(word) for word in line.split()] for line in lineage.read_text("ascii").splitlines() if line.strip()
        ]
    except (OSError, ValueError) as error:
        raise DataError(f"{lineage} can't be read as lines of four numbers: {error}") from error
    if any(len(row) != 4 for row in rows):
        raise DataError(f"{lineage} should have four numbers a line: cell, first frame, last frame, mother")
    return [{"id": cell, "first": first, "last": last, "parent": parent} for cell, first, last, parent in rows]
