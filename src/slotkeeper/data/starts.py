"""Where things are in a video's first frame: from a JSON file, or from true masks, to what a model starts from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from slotkeeper.data.segments import load_segments, read_mask
from slotkeeper.errors import DataError, nearest_name
from slotkeeper.types import GivenStart

_KINDS: tuple[Literal["points", "boxes", "masks"], ...] = ("boxes", "points", "masks")
_VIDEOS = "videos"
_LENGTHS = {"boxes": (4, "x0, y0, x1, y1"), "points": (2, "x, y")}


@dataclass(frozen=True, kw_only=True)
class Start:
    """Things of one video's first frame, in source pixels from its upper left corner; their order is that of their ids.

    Exactly one of the three is given. boxes: x0 y0 x1 y1, x1 and y1 at the right and lower edge. points: x y. masks:
    labels from 1 in any numbers, 0 is no thing; ids follow ascending labels. source: names it in errors.
    """

    boxes: Float[np.ndarray, "k 4"] | None = None
    points: Float[np.ndarray, "k 2"] | None = None
    masks: Integer[np.ndarray, "h w"] | None = None
    source: str = "the start"

    def __post_init__(self) -> None:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise DataError(
                f"{self.source} must give one of boxes, points and masks, got {' and '.join(given) or 'none'}"
            )

    @property
    def kind(self) -> Literal["points", "boxes", "masks"]:
        """What is given."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def num_objects(self) -> int:
        """Things given."""
        if self.masks is not None:
            return len(_labels_of(self.masks))
        return len(getattr(self, self.kind))


def read_starts(path: str | Path) -> Start | dict[str, Start]:
    """A start file: one start, or under the key "videos" one by each video's name.

    A start is {"boxes": [[x0, y0, x1, y1], ...]}, {"points": [[x, y], ...]} or {"masks": "file.png"} (or a masks.npz,
    whose first frame counts; paths are relative to the start file).

    Raises:
        DataError: it is missing, isn't such JSON, or a mask file can't be read.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"there is no start file {path}") from error
    except OSError as error:
        raise DataError(f"can't read the start file {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"the start file {path} is not JSON: {error}") from error
    if not isinstance(raw, dict) or not raw:
        raise DataError(f'the start file {path} must hold {{"boxes": ...}}, {{"points": ...}} or {{"masks": ...}}')
    if _VIDEOS not in raw:
        return _read_start(raw, str(path), path.parent)
    if len(raw) > 1 or not isinstance(raw[_VIDEOS], dict) or not raw[_VIDEOS]:
        raise DataError(f"{path}: 'videos' must stand alone and give a start for each video's name")
    return {name: _read_start(start, f"{path}: {name}", path.parent) for name, start in raw[_VIDEOS].items()}


def given_start(start: Start, size: tuple[int, int]) -> GivenStart:
    """What a model starts from, as a batch of one video of `size` (height, width).

    Raises:
        DataError: something lies outside the frame, is empty or not a number, or masks have another size.
    """
    height, width = size
    if start.masks is not None:
        if start.masks.shape != size:
            got = f"{start.masks.shape[1]}x{start.masks.shape[0]}"
            raise DataError(f"{start.source}: the masks are {got} pixels, but the video is {width}x{height}")
        _check_count(start)
        return start_from_segments(
            torch.from_numpy(start.masks.astype(np.int64))[None], start.num_objects, by_area=False
        )
    values = start.boxes if start.boxes is not None else start.points
    assert values is not None
    _check_count(start)
    for number, row in enumerate(values.tolist()):
        _check_inside(row, f"{start.source}: {start.kind}.{number}", size)
    corners = torch.from_numpy(values).float().reshape(1, len(values), -1, 2) / torch.tensor([width, height]) * 2 - 1
    return GivenStart(
        kind=start.kind,
        points=corners.mean(2),
        boxes=corners.flatten(2) if start.boxes is not None else None,
        is_given=torch.ones(1, len(values), dtype=torch.bool),
    )


def start_from_segments(segments: Int[Tensor, "b h w"], num_objects: int, *, by_area: bool = True) -> GivenStart:
    """Points, boxes and shapes of the things in segments of first frames, ascending by label.

    Args:
        segments: 0 is background.
        num_objects: rows of the result; where there are more things, the largest ones are kept.
        by_area: False to keep the first ones instead.
    """
    height, width = segments.shape[1:]
    centres_x = (torch.arange(width) + 0.5) * (2 / width) - 1
    centres_y = (torch.arange(height) + 0.5) * (2 / height) - 1
    points, boxes = torch.zeros(len(segments), num_objects, 2), torch.zeros(len(segments), num_objects, 4)
    shapes = torch.zeros(len(segments), num_objects, 6)
    is_given = torch.zeros(len(segments), num_objects, dtype=torch.bool)
    for row, frame in enumerate(segments):
        labels, areas = frame[frame > 0].unique(return_counts=True)
        kept = areas.argsort(descending=True, stable=True)[:num_objects] if by_area else torch.arange(num_objects)
        for place, label in enumerate(labels[kept.sort().values].tolist()):
            rows, columns = (frame == label).nonzero(as_tuple=True)
            places = torch.stack((centres_x[columns], centres_y[rows]), dim=-1)
            mean = places.mean(0)
            moved = places - mean
            points[row, place] = places[moved.square().sum(-1).argmin()]
            half = torch.tensor([1 / width, 1 / height])
            boxes[row, place] = torch.cat((places.amin(0) - half, places.amax(0) + half))
            covariance = (moved[:, 0] * moved[:, 1]).mean()
            deviation = moved.square().mean(0).sqrt()
            share = torch.tensor(len(places) / frame.numel())
            shapes[row, place] = torch.cat((mean, deviation, torch.stack((covariance, share))))
            is_given[row, place] = True
    return GivenStart(kind="masks", points=points, boxes=boxes, shapes=shapes, is_given=is_given)


def _read_start(raw: Any, source: str, folder: Path) -> Start:
    if not isinstance(raw, dict) or len(raw) != 1:
        raise DataError(f"{source} must give one of boxes, points and masks, got {_short(raw)}")
    kind, value = next(iter(raw.items()))
    if kind not in _KINDS:
        raise DataError(f"{source} has an unknown key '{kind}'; {nearest_name(kind, _KINDS)}")
    if kind == "masks":
        if not isinstance(value, str):
            raise DataError(f"{source}: masks must be the path of a PNG or npz file, got {_short(value)}")
        try:
            return Start(masks=_read_masks(folder / value), source=source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
    length, names = _LENGTHS[kind]
    if not isinstance(value, list):
        raise DataError(f"{source}: {kind} must be a list of [{names}], got {_short(value)}")
    for number, item in enumerate(value):
        is_row = isinstance(item, list) and len(item) == length
        if not is_row or any(not _is_number(part) for part in item):
            raise DataError(f"{source}: {kind}.{number} must be numbers [{names}], got {_short(item)}")
    rows = np.array(value, dtype=np.float64).reshape(len(value), length)
    return Start(boxes=rows, source=source) if kind == "boxes" else Start(points=rows, source=source)


def _read_masks(path: Path) -> Integer[np.ndarray, "h w"]:
    if path.suffix.lower() == ".png":
        return read_mask(path)
    masks: Integer[np.ndarray, "h w"] = load_segments(path)[0]
    return masks


def _check_count(start: Start) -> None:
    if start.num_objects == 0:
        raise DataError(f"{start.source}: {start.kind} must name at least one thing, got none")


def _check_inside(row: list[float], key: str, size: tuple[int, int]) -> None:
    """Refuse a point or a box that isn't wholly inside the frame, and a box without area."""
    height, width = size
    what = "box" if len(row) == 4 else "point"
    text = f"[{', '.join(f'{value:g}' for value in row)}]"
    if not all(math.isfinite(value) for value in row):
        raise DataError(f"{key} must be finite numbers, got {text}")
    across, down = row[0::2], row[1::2]
    if min(across) < 0 or max(across) > width or min(down) < 0 or max(down) > height:
        raise DataError(f"{key}: the {what} {text} lies outside the frame of {width}x{height} pixels")
    if len(row) == 4 and not (row[0] < row[2] and row[1] < row[3]):
        raise DataError(f"{key}: the box {text} must have x0 < x1 and y0 < y1")


def _labels_of(masks: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, " k"]:
    labels: Integer[np.ndarray, " k"] = np.unique(masks[masks > 0])
    return labels


def _is_number(value: Any) -> bool:
    """Whether it is one that a float can hold."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300
    return is_whole or isinstance(value, float)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
