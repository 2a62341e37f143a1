"""Files and folders of pictures that are only read, wherever they lie: on disk, or within a shard."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class MediaPath(Protocol):
    """What readers ask of a file or a folder; a `pathlib.Path` has it all. As text it names the place in errors."""

    @property
    def name(self) -> str:
        """The last part of the path, with suffix."""

    @property
    def suffix(self) -> str:
        """With its dot; empty where there is none."""

    def exists(self) -> bool:
        """Whether there is anything."""

    def is_dir(self) -> bool:
        """Whether it holds files."""

    def is_file(self) -> bool:
        """Whether it can be opened."""

    def iterdir(self) -> Iterator[MediaPath]:
        """What a folder holds, in any order."""

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """The bytes of a file, seekable."""


def num_bytes(path: MediaPath) -> int:
    """Length of a file; a pipe on disk has none and is not opened, which would wait for a writer."""
    if isinstance(path, Path):
        return path.stat().st_size
    with path.open("rb") as handle:
        return handle.seek(0, io.SEEK_END)


def is_url(path: object) -> bool:
    """Whether this text is the address of an object store, such as s3://bucket/videos, rather than a path."""
    return isinstance(path, str) and "://" in path


def path_or_url(path: str | os.PathLike[str]) -> Path | str:
    """Addresses as they are (a `Path` would lose one of their slashes), all else as a path."""
    return path if isinstance(path, str) and is_url(path) else Path(path)
