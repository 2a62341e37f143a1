"""CLEVRER (Yi et al., ICLR 2020, arXiv 1910.01442): mp4 files, annotations, and masks proposed by a detector.

There are no true masks. `derender_proposals` holds those that the authors' Mask R-CNN found, with colour, material and
shape; no two objects of a video share all three, so these tell which is which through time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from slotkeeper.data.derived import DerivedMasks
from slotkeeper.data.sources.rle import decode_rle
from slotkeeper.data.sources.source import FolderSource, SourceVideo, Split, VideoContent, check_truth_size, read_json
from slotkeeper.errors import DataError

_Look = tuple[str, str, str]
_FIRST_VAL, _FIRST_TEST = 10_000, 15_000
_NUM_FRAMES = 128
_MOST_SURE = 1e6  # scores are shares; whatever is further off is none


class Clevrer(FolderSource):
    """`video_00000.mp4`, `annotation_00000.json` and `proposal_00000.json` (or `sim_00000.json`), however deep."""

    expects = (
        "video_00000.mp4 and so on, with annotation_00000.json and proposal_00000.json if there are any, in any folders"
    )

    def videos(self) -> Iterator[SourceVideo]:
        """A video for each number."""
        files = _by_number(self.find("video_*.mp4"))
        if not files:
            raise self.missing()
        annotations = _by_number(self.find("annotation_*.json"))
        proposals = _by_number([*self.find("sim_*.json"), *self.find("proposal_*.json")])
        for number, file in sorted(files.items()):
            annotation, proposed = annotations.get(number), proposals.get(number)
            masks = None if proposed is None else self._masks(proposed, annotation)
            yield SourceVideo(
                video_id=file.stem,
                split=_split(number),
                place=str(file),
                read=partial(self._read, file, annotation, proposed),
                files=tuple(path for path in (file, annotation, proposed) if path is not None),
                video=file,
                masks=masks,
            )

    def _masks(self, proposals: Path, annotation: Path | None) -> DerivedMasks:
        lists = [proposals] if annotation is None else [proposals, annotation]
        return DerivedMasks(
            name=proposals.name,
            place=str(proposals),
            files=lambda: lists,
            load=lambda: self._labels(proposals, annotation)[0],
            shape=lambda: _shape(self.inside(proposals)),
        )

    def _labels(
        self, proposals: Path, annotation: Path | None
    ) -> tuple[UInt8[np.ndarray, "t h w"], list[dict[str, Any]]]:
        """Labels of all frames, and the objects: those of the annotation, otherwise those that were found."""
        objects = _annotated_objects(self.inside(annotation)) if annotation else []
        labels = {_look(thing): int(thing["id"]) for thing in objects}
        segments, found = _proposed_masks(self.inside(proposals), labels, is_open=annotation is None)
        return segments, objects or found

    def _read(self, file: Path, annotation: Path | None, proposals: Path | None) -> VideoContent:
        file = self.inside(file)
        if proposals is None:
            return VideoContent(file=file, objects=_annotated_objects(self.inside(annotation)) if annotation else [])
        segments, objects = self._labels(proposals, annotation)
        facts = {"masks": "proposals of a detector, not the truth"}
        return VideoContent(file=file, segments=segments, objects=objects, facts=facts)


def _by_number(files: list[Path]) -> dict[int, Path]:
    numbered = ((re.search(r"_(\d{1,9})$", file.stem), file) for file in files)
    return {int(number[1]): file for number, file in numbered if number}


def _split(number: int) -> Split:
    """As the data set numbers them."""
    return "train" if number < _FIRST_VAL else "val" if number < _FIRST_TEST else "test"


def _look(thing: Mapping[str, Any]) -> _Look:
    return str(thing.get("color")), str(thing.get("material")), str(thing.get("shape"))


def _annotated_objects(annotation: Path) -> list[dict[str, Any]]:
    raw = read_json(annotation)
    listed = raw.get("object_property") if isinstance(raw, dict) else None
    if not isinstance(listed, list) or not all(
        isinstance(thing, dict) and type(thing.get("object_id")) is int and 0 <= thing["object_id"] < 255
        for thing in listed
    ):
        raise DataError(f"{annotation} has no list 'object_property' of objects with an object_id")
    return [
        {"id": thing["object_id"] + 1, **{name: value for name, value in thing.items() if name != "object_id"}}
        for thing in listed
    ]


def _proposed_masks(
    path: Path, labels: dict[_Look, int], *, is_open: bool
) -> tuple[UInt8[np.ndarray, "t h w"], list[dict[str, Any]]]:
    """Labels of all frames; where `is_open`, looks get numbers as they come, otherwise unknown ones are left out."""
    frames = _frames(path)
    height, width = _mask_size(frames, path)
    check_truth_size(str(path), _NUM_FRAMES, height, width)
    segments = np.zeros((_NUM_FRAMES, height, width), np.uint8)
    for place, frame in enumerate(frames):
        index = frame.get("frame_index", place)
        if type(index) is not int or not 0 <= index < _NUM_FRAMES:
            raise DataError(f"{path}: there is no frame {index!r} in videos of {_NUM_FRAMES}")
        things = [thing for thing in frame.get("objects") or [] if isinstance(thing, dict)]
        for thing in sorted(things, key=_score):  # the surest come last, on top
            look = _look(thing)
            if is_open and look not in labels and len(labels) < 255:
                labels[look] = len(labels) + 1
            if look in labels:
                try:
                    segments[index][decode_rle(thing.get("mask"), height=height, width=width)] = labels[look]
                except DataError as error:
                    raise DataError(f"{path}, frame {index}: {error}") from error
    found = [{"id": label, "color": look[0], "material": look[1], "shape": look[2]} for look, label in labels.items()]
    return segments, found


def _frames(path: Path) -> list[dict[str, Any]]:
    raw = read_json(path)
    frames = raw.get("frames") if isinstance(raw, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames) or not frames:
        raise DataError(f"{path} has no list 'frames'")
    if not all(isinstance(frame.get("objects") or [], list) for frame in frames):
        raise DataError(f"{path} has a frame whose 'objects' are no list")
    return frames


def _shape(path: Path) -> tuple[int, int, int]:
    return _NUM_FRAMES, *_mask_size(_frames(path), path)


def _score(thing: Mapping[str, Any]) -> float:
    score = thing.get("score")
    return float(score) if isinstance(score, int | float) and -_MOST_SURE <= score <= _MOST_SURE else 0.0


def _mask_size(frames: list[dict[str, Any]], path: Path) -> tuple[int, int]:
    """Height and width of the first mask; a video without any has the data set's usual one."""
    for frame in frames:
        for thing in frame.get("objects") or []:
            size = (
                thing["mask"].get("size") if isinstance(thing, dict) and isinstance(thing.get("mask"), dict) else None
            )
            if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
                raise DataError(f"{path}: a mask has no size")
            return size[0], size[1]
    return 320, 480
