"""A tar file written from front to back: the same contents give the same bytes, and their places are known."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from slotkeeper.data.media import MediaPath, num_bytes
from slotkeeper.data.shards.index import BLOCK_BYTES, Member
from slotkeeper.errors import DataError

_RECORD_BYTES = 20 * tarfile.BLOCKSIZE


class TarWriter:
    """Appends files to an open tar file; owner, rights and time are the same for all.

    Names longer than 100 bytes and files from 8 GB on get the headers of POSIX.1-2001, all others are plain ustar.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self.num_bytes = 0
        """Written so far."""
        self._handle = handle
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._digest.hexdigest()

    def add(self, name: str, content: MediaPath | bytes) -> Member:
        """Append one file.

        Raises:
            DataError: it can't be read, or changes while it is.
            OSError: the tar file can't be written.
        """
        info = tarfile.TarInfo(name)
        info.size = content_bytes(content)
        self._write(info.tobuf(tarfile.PAX_FORMAT))
        offset, checksums = self.num_bytes, []
        for block in _blocks(content):
            checksums.append(zlib.crc32(block))
            self._write(block)
        if self.num_bytes - offset != info.size:
            raise DataError(f"{content!s} changed while it was read: it had {info.size} bytes at first")
        self._write(b"\0" * (-info.size % tarfile.BLOCKSIZE))
        return Member(name=name, offset=offset, num_bytes=info.size, checksums=tuple(checksums))

    def finish(self) -> None:
        """Write the end of the tar file; two empty blocks, filled up to a whole record."""
        self._write(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._write(b"\0" * (-self.num_bytes % _RECORD_BYTES))

    def _write(self, content: bytes) -> None:
        self._handle.write(content)
        self._digest.update(content)
        self.num_bytes += len(content)


def content_bytes(content: MediaPath | bytes) -> int:
    """Length of a file to be written.

    Raises:
        DataError: it can't be read.
    """
    try:
        return len(content) if isinstance(content, bytes) else num_bytes(content)
    except OSError as error:
        raise DataError(f"can't read {content!s}: {error.strerror or error}") from error


def _blocks(content: MediaPath | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        for start in range(0, len(content), BLOCK_BYTES):
            yield content[start : start + BLOCK_BYTES]
        return
    try:
        handle = content.open("rb")
        with handle:
            while block := handle.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise DataError(f"can't read {content!s}: {error.strerror or error}") from error
