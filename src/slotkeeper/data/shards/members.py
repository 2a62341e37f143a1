"""Files within shards, read by their place alone: nothing is unpacked, and names in a tar file are never followed."""

from __future__ import annotations

import io
import zlib
from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from slotkeeper.data.media import MediaPath
from slotkeeper.data.shards.index import Member
from slotkeeper.data.shards.pages import Pages
from slotkeeper.errors import DataError, VideoError


@dataclass(frozen=True, kw_only=True)
class _Named(ABC):
    """What a `MediaPath` within a shard knows by its name. label: the video's id and a suffix; stands in errors."""

    label: str

    @property
    def name(self) -> str:
        """As `MediaPath.name`."""
        return PurePosixPath(self.label).name

    @property
    def suffix(self) -> str:
        """As `MediaPath.suffix`."""
        return PurePosixPath(self.label).suffix

    def exists(self) -> bool:
        """The index lists it; whether its bytes are there shows when they are read."""
        return True


@dataclass(frozen=True, kw_only=True)
class ShardFile(_Named):
    """One file within a shard, as a `MediaPath`."""

    pages: Pages
    shard: str
    member: Member
    block_bytes: int

    def __str__(self) -> str:
        return f"{self.pages.storage.place(self.shard)}:{self.label}"

    def is_dir(self) -> bool:
        """It is a file."""
        return False

    def is_file(self) -> bool:
        """It is."""
        return True

    def iterdir(self) -> Iterator[MediaPath]:
        """There is nothing in it."""
        raise NotADirectoryError(str(self))

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """Its bytes, each block checked when it is read.

        Raises:
            VideoError: when read, where the shard is missing, ends too soon, or a block has the wrong checksum.
        """
        return io.BufferedReader(_MemberBytes(self), buffer_size=2**16)

    def block(self, number: int) -> bytes:
        """One block of `block_bytes`, the last one shorter.

        Raises:
            VideoError: as `open`.
        """
        start = self.member.offset + number * self.block_bytes
        stop = min(start + self.block_bytes, self.member.offset + self.member.num_bytes)
        try:
            block = self.pages.read(self.shard, start, stop)
        except FileNotFoundError as error:
            raise VideoError(f"{self} can't be read: the shard {self.shard} is missing") from error
        except DataError as error:
            raise VideoError(f"{self} can't be read: {error}") from error
        if len(block) < stop - start:
            raise VideoError(f"{self} can't be read: the shard {self.shard} ends too soon")
        if zlib.crc32(block) != self.member.checksums[number]:
            raise VideoError(f"{self} is damaged: the shard {self.shard} holds other bytes than its index says")
        return block


@dataclass(frozen=True, kw_only=True)
class ShardFolder(_Named):
    """The pictures of one video within a shard, as a `MediaPath`."""

    place: str
    files: tuple[ShardFile, ...]

    def __str__(self) -> str:
        return f"{self.place}:{self.label}"

    def is_dir(self) -> bool:
        """It is."""
        return True

    def is_file(self) -> bool:
        """It is a folder."""
        return False

    def iterdir(self) -> Iterator[MediaPath]:
        """The pictures, in order."""
        return iter(self.files)

    def open(self, mode: Literal["rb"]) -> io.BufferedReader:
        """There are no bytes of its own."""
        raise IsADirectoryError(str(self))


class _MemberBytes(io.RawIOBase):
    """The bytes of one member; nothing outside of it can be reached."""

    def __init__(self, file: ShardFile) -> None:
        super().__init__()
        self._file = file
        self._position = 0
        self._block: tuple[int, bytes] = (-1, b"")

    @property
    def name(self) -> str:
        """A hint for decoders, which is never opened."""
        return self._file.member.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.member.num_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"{self._file}: can't go to byte {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Up to the end of the present block."""
        if self._position >= self._file.member.num_bytes or len(buffer) == 0:
            return 0
        number, offset = divmod(self._position, self._file.block_bytes)
        if self._block[0] != number:
            self._block = number, self._file.block(number)
        part = self._block[1][offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
