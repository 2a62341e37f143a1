"""What is written down of a conversion: finished videos in a journal, and all of them in `dataset.json` at the end."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slotkeeper.data.sources.source import is_plain_id
from slotkeeper.errors import DataError, OutputError
from slotkeeper.files import json_or_none, locked_folder, write_json

RECORD_NAME = "dataset.json"
WORK_FOLDER = ".converting"
"""Stands in a folder whose conversion is not finished."""
FORMAT, VERSION = "slotkeeper-dataset", 1
_PLAN, _JOURNAL = "plan.json", "journal.jsonl"
_CHUNK_BYTES = 2**22


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """One file of a video, and what its bytes should be."""

    name: str
    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> WrittenFile:
        """Read a file, and see to it that it is on the disk."""
        digest = hashlib.sha256()
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK_BYTES):
                digest.update(chunk)
            os.fsync(handle.fileno())
        return cls(name=path.name, num_bytes=path.stat().st_size, sha256=digest.hexdigest())


@dataclass(frozen=True, kw_only=True)
class WrittenVideo:
    """One finished video. video_id: its path below the data set. state: of what it was read from."""

    video_id: str
    state: str
    num_frames: int
    width: int
    height: int
    files: tuple[WrittenFile, ...]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> WrittenVideo:
        """From JSON.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: it is no such entry.
        """
        files = tuple(
            WrittenFile(name=str(file["name"]), num_bytes=int(file["num_bytes"]), sha256=str(file["sha256"]))
            for file in raw["files"]
        )
        if not files or any("/" in file.name or file.name.startswith(".") for file in files):
            raise ValueError("no plain names of files")
        if not is_plain_id(str(raw["video_id"])):
            raise ValueError("no plain id")
        numbers = {name: int(raw[name]) for name in ("num_frames", "width", "height")}
        return cls(video_id=str(raw["video_id"]), state=str(raw["state"]), files=files, **numbers)

    def is_whole(self, folder: Path) -> bool:
        """Whether all its files are in `folder`, byte for byte."""
        try:
            sizes = all((folder / file.name).stat().st_size == file.num_bytes for file in self.files)
            return sizes and all(WrittenFile.of(folder / file.name) == file for file in self.files)
        except OSError:
            return False


class Journal:
    """The finished videos of a conversion under way; each is written down as soon as it lies in its place."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / WORK_FOLDER / _JOURNAL
        self._lock = threading.Lock()
        self.videos: dict[str, WrittenVideo] = {}
        for entry in _journal_entries(self._path):
            self.videos[entry.video_id] = entry

    def add(self, videos: Iterable[WrittenVideo]) -> None:
        """Write down finished videos; several threads may.

        Raises:
            OutputError: it can't be written.
        """
        added = list(videos)
        try:
            with self._lock, self._path.open("a", encoding="utf-8") as handle:
                for video in added:
                    handle.write("\n" + json.dumps(asdict(video)))  # a line that a kill cut off stays alone
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise OutputError(f"can't write {self._path}: {error.strerror or error}") from error
        self.videos |= {video.video_id: video for video in added}


def _journal_entries(path: Path) -> Iterator[WrittenVideo]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            yield WrittenVideo.parse(json.loads(line))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
            continue  # cut off by a kill


@contextmanager
def converting(folder: Path, name: str) -> Iterator[Journal]:
    """Hold a folder while a data set is converted into it; a finished one that is gone on with counts as unfinished.

    Raises:
        OutputError: it can't be written, or another process is converting into it.
        DataError: it holds another data set.
    """
    place = folder / WORK_FOLDER
    with locked_folder(place, busy=f"another process is converting a data set into {folder}"):
        plan = {"format": FORMAT, "version": VERSION, "name": name}
        begun = json_or_none(place / _PLAN)
        if begun is not None and begun != plan:
            raise DataError(f"{folder} was begun as another data set, {json.dumps(begun)}: choose another folder")
        finished = read_record(folder)
        if finished is not None and finished[0] != name:
            raise DataError(f"{folder} already holds the data set {finished[0]}: choose another folder")
        write_json(place / _PLAN, plan)
        journal = Journal(folder)
        if finished is not None:
            journal.add(video for video in finished[1] if video.video_id not in journal.videos)
            (folder / RECORD_NAME).unlink()
        yield journal


def read_record(folder: Path) -> tuple[str, list[WrittenVideo]] | None:
    """Name and videos of a finished data set; None if there is no record.

    Raises:
        DataError: it is damaged.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        return None
    raw = json_or_none(path)
    try:
        if raw["format"] != FORMAT or raw["version"] != VERSION:
            raise ValueError("another format")
        return str(raw["name"]), [WrittenVideo.parse(video) for video in raw["videos"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{path} should be the record of a converted data set, but can't be read: {error}") from error


def write_record(folder: Path, name: str, videos: Sequence[WrittenVideo], num_skipped: int) -> None:
    """Write `dataset.json`; from then on the folder counts as whole.

    Raises:
        OutputError: it can't be written.
    """
    sides: dict[str, int] = {}
    for video in videos:
        side = video.video_id.partition("/")[0]
        if side in ("train", "val", "test"):
            sides[side] = sides.get(side, 0) + 1
    counts = {
        **{"videos": len(videos), "frames": sum(video.num_frames for video in videos), "skipped": num_skipped},
        **sides,
    }
    record = {"format": FORMAT, "version": VERSION, "name": name, "counts": counts}
    write_json(folder / RECORD_NAME, record | {"videos": [asdict(video) for video in videos]})


def why_unfinished(folder: Path) -> str | None:
    """Why a folder, or one within a data set, is not all converted, in words that follow its name; else None."""
    for place in (folder, folder.parent):
        if (place / WORK_FOLDER).is_dir():
            return "its data set is not all converted: the same 'slotkeeper data convert' goes on where it stopped"
    return None
