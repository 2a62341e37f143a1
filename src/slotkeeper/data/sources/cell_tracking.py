"""Cell Tracking Challenge (Maška et al., Nature Methods 2023): 16-bit TIFF pictures of cells that move and divide.

`01/t000.tif`, `01_GT/TRA/man_track000.tif` (a marker for each cell, its number the same through time), `man_track.txt`
(number, first frame, last frame, mother), `01_GT/SEG` or `01_ST/SEG` (outlines, numbered anew in each picture).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image

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
            truth = folder.with_name(f"{folder.name}_GT") / "TRA"
            frames, markers = _numbered(folder, "t"), _numbered(truth, "man_track")
            yield SourceVideo(
                video_id=name,
                split=None,
                place=str(folder),
                read=partial(self._read, folder),
                files=(*frames.values(), *markers.values()),
            )

    def _read(self, folder: Path) -> VideoContent:
        frames = _numbered(folder, "t")
        numbers = sorted(frames)
        gray, darkest, brightest = self._gray([frames[number] for number in numbers])
        truth = folder.with_name(f"{folder.name}_GT") / "TRA"
        markers = _numbered(truth, "man_track")
        facts: dict[str, Any] = {"gray": {"black": darkest, "white": brightest}}
        if not markers:
            return VideoContent(frames=gray, fps=_FPS, facts=facts)
        if set(markers) != set(frames):
            raise DataError(f"{truth} has markers of {len(markers)} pictures, but {folder} has {len(frames)}")
        segments = _labels([self.inside(markers[number]) for number in numbers], str(truth))
        outlines, facts["masks"] = self._outlines(folder, numbers), "markers of cells, not their outlines"
        if outlines is not None:
            if outlines.shape != segments.shape:
                raise DataError(f"{folder}: outlines and markers differ in size")
            segments, facts["masks"] = _tracked(outlines, segments), "outlines of cells"
        lineage = self.inside(truth / "man_track.txt") if (truth / "man_track.txt").is_file() else None
        return VideoContent(frames=gray, fps=_FPS, segments=segments, objects=_cells(lineage, segments), facts=facts)

    def _outlines(self, folder: Path, numbers: list[int]) -> UInt[np.ndarray, "t h w"] | None:
        """From the first folder of outlines that has one for every frame: those of people, then those of programs."""
        for truth in ("GT", "ST"):
            place = folder.with_name(f"{folder.name}_{truth}") / "SEG"
            files = _numbered(place, "man_seg")
            if set(numbers) <= set(files):
                return _labels([self.inside(files[number]) for number in numbers], str(place))
        return None

    def _gray(self, files: list[Path]) -> tuple[Iterator[UInt8[np.ndarray, "h w 3"]], float, float]:
        """Frames as 8-bit pictures, and the values that become black and white; 8-bit pictures stay as they are."""
        extent = [(frame.min(), np.percentile(frame, _BRIGHTEST_SHARE), frame.dtype) for frame in self._each(files)]
        if all(dtype == np.uint8 for _, _, dtype in extent):
            return (np.repeat(frame[..., None], 3, axis=2) for frame in self._each(files)), 0.0, 255.0
        low = float(min(least for least, _, _ in extent))
        high = max(float(max(most for _, most, _ in extent)), low + 1)
        scaled = (np.clip((frame - low) / (high - low) * 255, 0, 255).round() for frame in self._each(files))
        return (np.repeat(frame.astype(np.uint8)[..., None], 3, axis=2) for frame in scaled), low, high

    def _each(self, files: list[Path]) -> Iterator[UInt[np.ndarray, "h w"]]:
        for file in files:
            check_flat(self.inside(file))
            yield read_mask(file)


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
    return {int(match[1]): file for match, file in numbered if match}


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
