"""YouTube-VIS 2019 and 2021 (Yang et al., ICCV 2019, arXiv 1905.04804) and OVIS (Qi et al., arXiv 2102.01558).

Folders of pictures, and for each side one JSON: `videos` with `file_names`, `annotations` with one run-length encoded
mask or null per frame in `segmentations`. Lists of sides that are judged by a server have no annotations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from slotkeeper.data.derived import DerivedFrames, DerivedMasks
from slotkeeper.data.frames import MAX_PIXELS
from slotkeeper.data.image_folder import image_size, read_image
from slotkeeper.data.sources.pictures import frames_of
from slotkeeper.data.sources.rle import decode_rle
from slotkeeper.data.sources.source import (
    FolderSource,
    SourceVideo,
    Split,
    VideoContent,
    check_truth_size,
    read_json,
)
from slotkeeper.errors import DataError

_SIDES: Mapping[str, Split] = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_LISTS = (
    *("{side}/instances.json", "{side}.json", "annotations/{side}.json", "instances_{side}.json"),
    *("annotations/instances_{side}.json", "annotations/instances_{side}_sub.json"),
    *("annotations_{side}.json", "annotations/annotations_{side}.json"),
)
_FRAMES = ("{side}/JPEGImages", "JPEGImages/{side}", "Images/{side}", "{side}")
_MAX_FRAMES = 100_000
_Annotations = list[Mapping[str, Any]]


class YouTubeVis(FolderSource):
    """Every fifth frame of videos of 30 frames a second."""

    expects = "train/JPEGImages with train.json or train/instances.json, also valid and test"
    fps: ClassVar[Fraction] = Fraction(6)

    def videos(self) -> Iterator[SourceVideo]:
        """The videos of all lists."""
        is_found = False
        for side, split in _SIDES.items():
            listing = self._first(_LISTS, side)
            frames = self._first(_FRAMES, side)
            if listing is not None and frames is not None:
                is_found = True
                yield from self._side(self.inside(listing), frames, split)
        if not is_found:
            raise self.missing()

    def _first(self, patterns: Sequence[str], side: str) -> Path | None:
        paths = (self.root / pattern.format(side=side) for pattern in patterns)
        return next((path for path in paths if path.exists()), None)

    def _side(self, listing: Path, frames: Path, split: Split) -> Iterator[SourceVideo]:
        raw = read_json(listing)
        if not isinstance(raw, dict) or not _are_objects(raw.get("videos")):
            raise DataError(f"{listing} has no list 'videos'")
        annotations = raw.get("annotations")
        by_video: dict[Any, _Annotations] = defaultdict(list)
        for annotation in annotations if isinstance(annotations, list) and _are_objects(annotations) else []:
            if isinstance(annotation.get("video_id"), int | str):
                by_video[annotation["video_id"]].append(annotation)
        categories = {
            str(category.get("id")): category.get("name")
            for category in (raw["categories"] if _are_objects(raw.get("categories")) else [])
        }
        for place, video in enumerate(raw["videos"]):
            number = video.get("id", place)
            names = video.get("file_names")
            listed = _ListedVideo(
                place=f"{listing}, video {number}",
                facts=video,
                names=names if isinstance(names, list) else [],
                annotations=by_video.get(number, []) if isinstance(number, int | str) else [],
                categories=categories,
            )
            yield self._video(listed, str(number), split, listing, frames)

    def _video(self, listed: _ListedVideo, number: str, split: Split, listing: Path, folder: Path) -> SourceVideo:
        video_id = _name(listed.names, number)
        pictures = partial(self._pictures, folder, listed.names)
        frames = DerivedFrames(
            name=PurePosixPath(video_id).name,
            place=listed.place,
            files=pictures,
            fps=self.fps,
            size=image_size,
            read=read_image,
        )
        masks = DerivedMasks(
            name=f"{frames.name}_masks",
            place=listed.place,
            files=lambda: [listing],
            load=lambda: listed.masks()[0],
            shape=listed.shape,
        )
        return SourceVideo(
            video_id=video_id,
            split=split,
            place=listed.place,
            read=partial(self._read, listed, pictures),
            files=_known(pictures),
            part=f"{listing.stat().st_size}",
            video=frames,
            masks=masks if listed.annotations else None,
        )

    def _pictures(self, folder: Path, names: Sequence[object]) -> list[Path]:
        if not 0 < len(names) <= _MAX_FRAMES:
            raise DataError(f"it names {len(names)} frames; expected 1 to {_MAX_FRAMES} in 'file_names'")
        return [self.named(folder, name) for name in names]

    def _read(self, listed: _ListedVideo, pictures: Callable[[], list[Path]]) -> VideoContent:
        frames = pictures()
        segments, objects = listed.masks() if listed.annotations else (None, [])
        return VideoContent(frames=frames_of(frames), fps=self.fps, segments=segments, objects=objects)


class Ovis(YouTubeVis):
    """Annotated at every fifth frame too."""

    expects = "train/ with annotations_train.json, also valid and test"


@dataclass(frozen=True, kw_only=True)
class _ListedVideo:
    """One video of a list, with its annotations. place: how messages name it. facts: its own entry."""

    place: str
    facts: Mapping[str, Any]
    names: Sequence[object]
    annotations: _Annotations
    categories: Mapping[str, Any]

    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width that it claims."""
        height, width = _size(self.facts)
        return len(self.names), height, width

    def masks(self) -> tuple[UInt8[np.ndarray, "t h w"], list[dict[str, Any]]]:
        """Labels of all frames, and what each is."""
        return _masks(self.annotations, self.shape(), self.categories)


def _known(pictures: Callable[[], list[Path]]) -> list[Path]:
    try:
        return pictures()
    except DataError:
        return []  # reading it says what is wrong


def _are_objects(listed: object) -> bool:
    return isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed)


def _name(names: Sequence[object], otherwise: str) -> str:
    """The folder of a video's frames is its name."""
    first = names[0] if names else None
    folder, _, _ = first.rpartition("/") if isinstance(first, str) else ("", "", "")
    return folder or otherwise


def _size(video: Mapping[str, Any]) -> tuple[int, int]:
    height, width = video.get("height"), video.get("width")
    if type(height) is not int or type(width) is not int or height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(f"it claims a size of {width!r}x{height!r} pixels; at most {MAX_PIXELS} pixels are read")
    return height, width


def _masks(
    annotations: _Annotations, shape: tuple[int, int, int], categories: Mapping[str, Any]
) -> tuple[UInt8[np.ndarray, "t h w"], list[dict[str, Any]]]:
    """Labels 1, 2, ... in the list's order; where masks overlap, the later one is on top."""
    if len(annotations) > 255:
        raise DataError(f"it has {len(annotations)} objects; at most 255 are read")
    check_truth_size("it", *shape)
    num_frames, height, width = shape
    segments = np.zeros(shape, np.uint8)
    objects: list[dict[str, Any]] = []
    for label, annotation in enumerate(annotations, start=1):
        masks = annotation.get("segmentations")
        if not isinstance(masks, list) or len(masks) != num_frames:
            raise DataError(f"object {label} should have {num_frames} 'segmentations', one for each frame")
        for frame, mask in zip(segments, masks, strict=True):
            if mask is not None:
                try:
                    frame[decode_rle(mask, height=height, width=width)] = label
                except DataError as error:
                    raise DataError(f"object {label}: {error}") from error
        category = categories.get(str(annotation.get("category_id")))
        objects.append({"id": label, "category": category, "is_crowd": bool(annotation.get("iscrowd"))})
    return segments, objects
