"""What every data set gives: a cheap list of its videos, and each one's frames and truth when it is asked for."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, UInt, UInt8

from slotkeeper.data.media import MediaPath
from slotkeeper.errors import DataError

Split = Literal["train", "val", "test"]
SPLIT_OF_WORD: Mapping[str, Split] = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
"""How data sets call their sides."""
MAX_TRUTH_BYTES = 2**32
"""Of one video's masks, flow or depth in memory."""
_MAX_JSON_BYTES = 2**31
_RESERVED = re.compile(r"(^\.)|(_masks$)|(^(masks|frames)$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class VideoContent:
    """One video as it was read. Either `file` is copied as it is, or `frames` are encoded at `fps`.

    segments: `t h w`, 0 is background. flow: `t h w 2`, to the next frame, in pixels, right and down. depth: `t h w`,
    in the data set's unit. objects: one entry per label (`id`), with `boxes` and whatever is known about it. facts:
    about the whole video.
    """

    file: Path | None = None
    frames: Iterable[UInt8[np.ndarray, "h w 3"]] | None = None
    fps: Fraction = Fraction(24)
    segments: UInt[np.ndarray, "_ _ _"] | None = None
    flow: Float[np.ndarray, "_ _ _ 2"] | None = None
    depth: Float[np.ndarray, "_ _ _"] | None = None
    objects: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SourceVideo:
    """One video of a data set, not yet read.

    video_id: unique within its split; "/" makes folders. place: how messages name it. files: all that it is read from.
    part: which part of these files. read: reads it, and raises a DataError where it is damaged. video: where it can be
    read as it lies; None if it must be converted. masks: the same of its masks; None without.
    """

    video_id: str
    split: Split | None
    place: str
    read: Callable[[], VideoContent]
    files: Sequence[Path] = ()
    part: str = ""
    video: MediaPath | None = None
    masks: MediaPath | None = None

    def path_id(self) -> str:
        """Its path below the converted data set.

        Raises:
            DataError: the id is no plain path, so that it could lead elsewhere or would not be found again.
        """
        path_id = f"{self.split}/{self.video_id}" if self.split else self.video_id
        if not is_plain_id(path_id):
            raise DataError(f"{self.place}: {self.video_id!r} can't be the name of a video's folder")
        return path_id

    def state(self) -> str:
        """A short text that changes with the files' names and sizes."""
        digest = hashlib.sha256(self.part.encode())
        for file in self.files:
            try:
                digest.update(f"{file.name} {file.stat().st_size}\n".encode(errors="surrogateescape"))
            except OSError:
                digest.update(f"{file.name} missing\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:32]


class Source(ABC):
    """A data set as it is downloaded.

    Args:
        place: the folder it lies in; for `atari` which games to play.
    """

    expects: ClassVar[str]
    """What the folder must hold, in words that follow "expected"."""

    def __init__(self, place: str) -> None:
        self.place = place

    @abstractmethod
    def videos(self) -> Iterator[SourceVideo]:
        """All videos in a fixed order, without reading any.

        Raises:
            DataError: the folder holds something else, or its lists can't be read.
        """


class FolderSource(Source):
    """A data set that is a folder on disk."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        root = Path(place)
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "doesn't exist"
            raise DataError(f"the source {place} {what}; expected {self.expects}")
        self.root = root.resolve()

    def inside(self, path: Path) -> Path:
        """The same path if it lies in the data set, links followed.

        Raises:
            DataError: it leads out.
        """
        try:
            is_inside = path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError, ValueError):
            is_inside = False
        if not is_inside:
            raise DataError(f"{path} leads out of the folder {self.root}, and is not read")
        return path

    def named(self, folder: Path, name: object) -> Path:
        """The file that a list calls `name`, below `folder`.

        Raises:
            DataError: no such name, an absolute one, or one that leads out.
        """
        if (
            not isinstance(name, str)
            or not name
            or "\0" in name
            or Path(name).is_absolute()
            or ".." in Path(name).parts
        ):
            raise DataError(f"{name!r} is no file name within {folder}")
        return self.inside(folder / name)

    def find(self, pattern: str) -> list[Path]:
        """All files of the data set with such a name, however deep, hidden ones left out."""
        found = (path for path in self.root.rglob(pattern) if path.is_file())
        return sorted(
            path for path in found if not any(part.startswith(".") for part in path.relative_to(self.root).parts)
        )

    def missing(self) -> DataError:
        """The error of a folder that holds something else."""
        return DataError(f"{self.place} holds no such data set; expected {self.expects}")


def is_plain_id(video_id: str) -> bool:
    """Whether a video's id is a path that stays below the data set and that `find_videos` finds."""
    parts = video_id.split("/")
    is_plain = all(part.isprintable() and 0 < len(part.encode()) <= 200 for part in parts)
    return is_plain and len(parts) <= 4 and not any("\\" in part or _RESERVED.search(part) for part in parts)


def read_json(path: Path) -> Any:
    """A whole JSON file.

    Raises:
        DataError: missing, damaged, or absurdly large.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise DataError(f"{path} is larger than {_MAX_JSON_BYTES / 2**30:.0f} GiB, and is not read")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no readable JSON file: {error}") from error


def check_truth_size(place: str, *shape: int, item_bytes: int = 1) -> None:
    """Refuse truth that would fill the memory, before it is read.

    Raises:
        DataError: more than `MAX_TRUTH_BYTES`.
    """
    size = item_bytes
    for length in shape:
        size *= length
    if size > MAX_TRUTH_BYTES:
        raise DataError(
            f"{place}: its truth would take {size / 1e9:.3g} GB; at most {MAX_TRUTH_BYTES / 1e9:.3g} GB are read"
        )


def split_in(words: Iterable[str]) -> Split | None:
    """The split that one of some words names."""
    return next((SPLIT_OF_WORD[word.lower()] for word in words if word.lower() in SPLIT_OF_WORD), None)
