"""Bytes that are read as a file would be."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from slotkeeper.data.media import MediaPath


@dataclass(frozen=True)
class MemoryFile:
    """A `MediaPath` over bytes in memory; `place` says in errors where they come from."""

    place: str
    content: bytes

    def __str__(self) -> str:
        return self.place

    @property
    def name(self) -> str:
        """The last part of its place."""
        return PurePosixPath(self.place).name

    @property
    def suffix(self) -> str:
        """With its dot."""
        return PurePosixPath(self.place).suffix

    def exists(self) -> bool:
        """It does."""
        return True

    def is_dir(self) -> bool:
        """It isn't."""
        return False

    def is_file(self) -> bool:
        """It is."""
        return True

    def iterdir(self) -> Iterator[MediaPath]:
        """Nothing lies in it."""
        return iter(())

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """Its bytes."""
        return io.BufferedReader(io.BytesIO(self.content))
