"""MOVi-A to MOVi-F (Kubric, Greff et al., CVPR 2022, arXiv 2203.03570): TFRecords as TensorFlow Datasets writes them.

Features, ranges and the order of flow: kubric/challenges/movi/movi_*.py. Frames, labels and depth are PNG files, flow
is a list of numbers; 16-bit values span the range that the metadata give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float16, Float32

from slotkeeper.data.image_folder import read_image
from slotkeeper.data.segments import read_mask
from slotkeeper.data.sources.example import Example
from slotkeeper.data.sources.memory_file import MemoryFile
from slotkeeper.data.sources.pictures import frames_of, labels_of
from slotkeeper.data.sources.record_videos import record_videos
from slotkeeper.data.sources.source import FolderSource, SourceVideo, VideoContent, check_truth_size, split_in
from slotkeeper.data.sources.tfrecord import Record, RecordFile
from slotkeeper.errors import DataError

_FPS = Fraction(12)
_MOST_INSTANCES = 1000
"""Some hundred times as many as there are; each is looked up in every list."""
_COLOURS = ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow")
_CATEGORIES = (
    *("Action Figures", "Bag", "Board Games", "Bottles and Cans and Cups", "Camera", "Car Seat", "Consumer Goods"),
    *("Hat", "Headphones", "Keyboard", "Legos", "Media Cases", "Mouse", "None", "Shoe", "Stuffed Toys", "Toys"),
)
_KUBASIC = (
    *("cube", "cylinder", "sphere", "cone", "torus", "gear", "torus_knot", "sponge", "spot", "teapot", "suzanne"),
)


class _Movi(FolderSource):
    """One of the six sets."""

    name: ClassVar[str]
    labels: ClassVar[dict[str, Sequence[str]]] = {"category": _CATEGORIES}
    """Names of the classes that instances have."""

    def videos(self) -> Iterator[SourceVideo]:
        """A video for each record."""
        shards = self.find(f"{self.name}-*.tfrecord*")
        folders = sorted({str(shard.parent) for shard in shards})
        if not shards:
            raise self.missing()
        if len(folders) > 1:
            raise DataError(f"{self.place} has {self.name} in several folders ({', '.join(folders)}): give one of them")
        for shard in shards:
            split = split_in(re.split(r"[-.]", shard.name)[1:2])
            number = re.search(r"-(\d+)-of-\d+$", shard.name)
            prefix = number[1] if number else shard.name.partition(".")[0]
            yield from record_videos(
                RecordFile(shard), split=split, prefix=prefix, read=partial(_read, labels=self.labels)
            )


class MoviA(_Movi):
    """Simple shapes, a camera that stands still."""

    name = "movi_a"
    expects = "movi_a-train.tfrecord-00000-of-01024 and so on, of one resolution (gs://kubric-public/tfds/movi_a/128x128/1.0.0)"
    labels: ClassVar[dict[str, Sequence[str]]] = {
        **{"shape": ("cube", "cylinder", "sphere"), "size": ("small", "large")},
        **{"color": _COLOURS, "material": ("metal", "rubber")},
    }


class MoviB(_Movi):
    """More shapes and colours."""

    name = "movi_b"
    expects = MoviA.expects.replace("movi_a", "movi_b")
    labels: ClassVar[dict[str, Sequence[str]]] = {"shape": _KUBASIC, "material": ("metal", "rubber")}


class MoviC(_Movi):
    """Scanned things before photographs."""

    name = "movi_c"
    expects = MoviA.expects.replace("movi_a", "movi_c")


class MoviD(_Movi):
    """As C, with many things that lie still."""

    name = "movi_d"
    expects = MoviA.expects.replace("movi_a", "movi_d")


class MoviE(_Movi):
    """As D, with a camera that moves."""

    name = "movi_e"
    expects = MoviA.expects.replace("movi_a", "movi_e")


class MoviF(_Movi):
    """As E, with motion blur."""

    name = "movi_f"
    expects = MoviA.expects.replace("movi_a", "movi_f")


def _read(file: RecordFile, record: Record, place: str, *, labels: dict[str, Sequence[str]]) -> VideoContent:
    example = Example(file.read(record), place)
    frames = _pictures(example, "video", place)
    if not frames:
        raise DataError(f"{place} has no frames")
    height, width = read_image(frames[0]).shape[:2]
    segments = labels_of(_pictures(example, "segmentations", place), place) if "segmentations" in example else None
    return VideoContent(
        frames=frames_of(frames),
        fps=_FPS,
        segments=segments,
        flow=_flow(example, (len(frames), height, width), place),
        depth=_depth(example, place),
        objects=_objects(example, labels, (len(frames), height, width)),
        facts={"video_name": _text(example, "metadata/video_name")},
    )


def _pictures(example: Example, name: str, place: str) -> list[MemoryFile]:
    return [
        MemoryFile(f"{place}, frame {index} of '{name}'", content)
        for index, content in enumerate(example.byte_strings(name))
    ]


def _flow(example: Example, shape: tuple[int, int, int], place: str) -> Float16[np.ndarray, "t h w 2"] | None:
    """Stored as down, right (MOVi says delta_row, delta_column)."""
    if "forward_flow" not in example:
        return None
    check_truth_size(place, *shape, item_bytes=16)
    values = example.ints("forward_flow")
    if values.size != np.prod(shape) * 2:
        raise DataError(f"{place}: forward_flow has {values.size} numbers, expected {np.prod(shape) * 2}")
    low, high = _range(example, "metadata/forward_flow_range", place)
    stored = values.astype(np.uint16).astype(np.float32).reshape(*shape, 2)
    return (stored / 65535 * (high - low) + low)[..., ::-1].astype(np.float16)


def _depth(example: Example, place: str) -> Float32[np.ndarray, "t h w"] | None:
    if "depth" not in example:
        return None
    pictures = _pictures(example, "depth", place)
    low, high = _range(example, "metadata/depth_range", place)
    first = read_mask(pictures[0]) if pictures else np.zeros((0, 0))
    check_truth_size(place, len(pictures), *first.shape, item_bytes=4)
    frames = [read_mask(picture).astype(np.float32) / 65535 * (high - low) + low for picture in pictures]
    if any(frame.shape != first.shape for frame in frames) or not frames:
        raise DataError(f"{place}: the pictures of 'depth' are none or differ in size")
    return np.stack(frames).astype(np.float32)


def _range(example: Example, name: str, place: str) -> tuple[float, float]:
    values = example.floats(name)
    if values.size != 2 or not np.isfinite(values).all():
        raise DataError(f"{place}: '{name}' should be two numbers, got {values.tolist()[:4]}")
    return float(values[0]), float(values[1])


def _text(example: Example, name: str) -> str | None:
    texts = example.byte_strings(name) if name in example else []
    return texts[0].decode(errors="replace") if texts else None


def _objects(example: Example, labels: dict[str, Sequence[str]], shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Instance i has label i + 1."""
    if "instances/bboxes/ragged_row_lengths_0" not in example:
        return []
    lengths = example.ints("instances/bboxes/ragged_row_lengths_0")
    ends = np.cumsum(lengths)
    corners = example.floats("instances/bboxes/ragged_flat_values")
    frames = example.ints("instances/bbox_frames/ragged_flat_values")
    if lengths.size > _MOST_INSTANCES or corners.size != 4 * frames.size:
        return []
    boxes = corners.reshape(-1, 4)
    if lengths.size and (lengths.min() < 0 or lengths.max() > len(boxes) or ends[-1] != len(boxes)):
        return []
    objects = []
    for index, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        rows = slice(int(end - length), int(end))
        thing: dict[str, Any] = {"id": index + 1, "boxes": _boxes(boxes[rows], frames[rows], shape)}
        objects.append(thing | _attributes(example, labels, index, len(lengths)))
    return objects


def _boxes(
    boxes: Float32[np.ndarray, "n 4"], frames: np.ndarray, shape: tuple[int, int, int]
) -> list[list[float] | None]:
    """From shares (top, left, bottom, right) of the picture to pixels x0 y0 x1 y1."""
    num_frames, height, width = shape
    placed: list[list[float] | None] = [None] * num_frames
    for (top, left, bottom, right), frame in zip(boxes.tolist(), frames.tolist(), strict=True):
        if 0 <= frame < num_frames:
            placed[frame] = [
                round(left * width, 2),
                round(top * height, 2),
                round(right * width, 2),
                round(bottom * height, 2),
            ]
    return placed


def _attributes(example: Example, labels: dict[str, Sequence[str]], index: int, count: int) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, classes in labels.items():
        feature = next((key for key in (f"instances/{name}_label", f"instances/{name}") if key in example), None)
        values = example.ints(feature) if feature else np.zeros(0, np.int64)
        if values.size == count and 0 <= values[index] < len(classes):
            known[name] = classes[int(values[index])]
    if "instances/is_dynamic" in example and (moving := example.ints("instances/is_dynamic")).size == count:
        known["is_dynamic"] = bool(moving[index])
    if "instances/asset_id" in example and len(assets := example.byte_strings("instances/asset_id")) == count:
        known["asset_id"] = assets[index].decode(errors="replace")
    return known
