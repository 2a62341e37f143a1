"""One video in the project's own layout: `video.mp4`, `masks.npz`, `truth.npz`, `objects.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt
from numpy.typing import NDArray

from slotkeeper.data.frames import check_picture_size
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.segments import save_segments
from slotkeeper.data.sources.source import VideoContent
from slotkeeper.data.writer import VideoWriter
from slotkeeper.errors import DataError

_CHUNK_BYTES = 2**22
_CRF = 10
"""Finer than the eye sees; 0 would be lossless and several times larger."""


def write_video_folder(content: VideoContent, folder: Path, place: str) -> tuple[int, int, int]:
    """Write a video with its truth into an empty folder; returns its frames, width and height.

    Encoded frames of odd sizes get one more row or column, a copy of the last one, and so does their truth.

    Raises:
        DataError: the video can't be read to its end, or its truth doesn't fit.
        OutputError: the disk is full, or the folder can't be written.
        OSError: as OutputError.
    """
    if content.file is not None:
        shape, padding = _copy(content.file, folder, place), (0, 0)
    else:
        shape, padding = _encode(content, folder / "video.mp4", place)
    truth = _truth(content, padding)
    for name, array in truth.items():
        if array.shape[:3] != shape:
            given, expected = ("x".join(map(str, sides)) for sides in (array.shape[:3], shape))
            raise DataError(f"{place}: its {name} has the shape {given}, its frames {expected} (frames, height, width)")
    segments = truth.pop("masks", None)
    if segments is not None:
        save_segments(folder / "masks.npz", segments)
    if truth:
        np.savez_compressed(folder / "truth.npz", **truth)  # type: ignore[arg-type]
    if content.objects or content.facts:
        text = _json_text({**content.facts, "objects": _described(content.objects, segments)}, place)
        (folder / "objects.json").write_text(text + "\n", encoding="utf-8")
    return shape[0], shape[2], shape[1]


def _json_text(described: Mapping[str, Any], place: str) -> str:
    try:
        return json.dumps(described, allow_nan=False)
    except ValueError as error:
        raise DataError(f"{place}: what it says of its objects has numbers that are not finite") from error


def _copy(file: Path, folder: Path, place: str) -> tuple[int, int, int]:
    """Copy a video byte for byte, and decode it once to see that it is whole."""
    copied = folder / f"video{file.suffix.lower()}"
    try:
        source = file.open("rb")
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror or error}") from error
    with source, copied.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)
    try:
        reader = VideoReader(copied)
        num_frames = sum(1 for _ in reader)
    except DataError as error:
        raise DataError(str(error).replace(str(copied), place)) from error
    return num_frames, reader.info.height, reader.info.width


def _encode(content: VideoContent, path: Path, place: str) -> tuple[tuple[int, int, int], tuple[int, int]]:
    frames = iter(content.frames or ())
    first = next(frames, None)
    if first is None:
        raise DataError(f"{place} has no frames")
    height, width = first.shape[:2]
    check_picture_size(width, height, Path(place))
    with VideoWriter(path, fps=content.fps, width=width, height=height, crf=_CRF) as writer:
        writer.write(first)
        for index, frame in enumerate(frames, start=1):
            if frame.shape != first.shape:
                raise DataError(f"{place}: frame {index} has another size than the first, {width}x{height}")
            writer.write(frame)
    right, bottom = writer.padding
    return (writer.num_frames, height + bottom, width + right), writer.padding


def _truth(content: VideoContent, padding: tuple[int, int]) -> dict[str, NDArray[Any]]:
    arrays = {"masks": content.segments, "flow": content.flow, "depth": content.depth}
    right, bottom = padding
    return {
        name: np.pad(array, ((0, 0), (0, bottom), (0, right), *[(0, 0)] * (array.ndim - 3)), mode="edge")
        for name, array in arrays.items()
        if array is not None
    }


def _described(
    objects: Sequence[Mapping[str, Any]], segments: UInt[np.ndarray, "t h w"] | None
) -> list[dict[str, Any]]:
    """The objects, each with boxes around its mask where it has no others."""
    described = [dict(thing) for thing in objects]
    if segments is not None and any("boxes" not in thing for thing in described):
        boxes = _mask_boxes(segments)
        for thing in described:
            if "boxes" not in thing:
                thing["boxes"] = [frame.get(thing["id"]) for frame in boxes]
    return described


def _mask_boxes(segments: UInt[np.ndarray, "t h w"]) -> list[dict[int, list[int]]]:
    """x0 y0 x1 y1 of each label in each frame; x1 and y1 lie one past the last pixel."""
    boxes: list[dict[int, list[int]]] = []
    for frame in segments:
        rows, columns = np.nonzero(frame)
        labels, members = np.unique(frame[rows, columns], return_inverse=True)
        low = np.full((len(labels), 2), np.iinfo(np.int64).max)
        high = np.zeros((len(labels), 2), np.int64)
        places = np.stack([columns, rows], axis=1)
        np.minimum.at(low, members, places)
        np.maximum.at(high, members, places + 1)
        boxes.append({int(label): [*low[index].tolist(), *high[index].tolist()] for index, label in enumerate(labels)})
    return boxes
