"""TFRecord files without TensorFlow: length, its checksum, the bytes, their checksum, again and again.

All numbers are little-endian; checksums are CRC-32C, turned and shifted ("masked"). The whole file may be compressed
with zlib or gzip. Format: tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from slotkeeper.data.sources.crc32c import crc32c
from slotkeeper.errors import DataError

MAX_RECORD_BYTES = 2**29
"""Longer records are refused; a video of MOVi takes some ten megabytes."""
_HEADER, _FOOTER = 12, 4
_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where one record's bytes stand, counted in the uncompressed file."""

    index: int
    offset: int
    num_bytes: int


class _Bytes(Protocol):
    def read(self, size: int) -> bytes: ...

    def close(self) -> None: ...


def masked(checksum: int) -> int:
    """A checksum as TFRecord files store it."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


class RecordFile:
    """One TFRecord file. Records may be read in any order; forwards is fast also where it is compressed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stream: tuple[_Bytes, int] | None = None

    def records(self) -> Iterator[Record]:
        """All records, their bytes passed over.

        Raises:
            DataError: after the last whole record, if the file is damaged or cut off there.
        """
        with closing(self._opened()) as stream:
            offset = index = 0
            while header := stream.read(_HEADER):
                num_bytes = self._length(header, index)
                offset += _HEADER
                if _pass_over(stream, num_bytes + _FOOTER) < num_bytes + _FOOTER:
                    raise DataError(f"{self.path}: record {index} is cut off; it should have {num_bytes} bytes")
                yield Record(index=index, offset=offset, num_bytes=num_bytes)
                offset, index = offset + num_bytes + _FOOTER, index + 1

    def read(self, record: Record) -> bytes:
        """The bytes of a record.

        Raises:
            DataError: they are cut off, or are not those that were written.
        """
        with self._lock:
            content = self._read_at(record.offset, record.num_bytes + _FOOTER)
        data = memoryview(content)[: record.num_bytes]
        if len(content) < record.num_bytes + _FOOTER:
            raise DataError(f"{self.path}: record {record.index} is cut off; it should have {record.num_bytes} bytes")
        if masked(crc32c(data)) != int.from_bytes(content[record.num_bytes :], "little"):
            raise DataError(f"{self.path}: record {record.index} is damaged, its checksum is wrong")
        return content[: record.num_bytes]

    def _length(self, header: bytes, index: int) -> int:
        if len(header) < _HEADER:
            raise DataError(f"{self.path} is cut off in the length of record {index}")
        num_bytes, checksum = struct.unpack("<QI", header)
        if masked(crc32c(header[:8])) != checksum:
            raise DataError(f"{self.path}: the length of record {index} is damaged, its checksum is wrong")
        if num_bytes > MAX_RECORD_BYTES:
            raise DataError(
                f"{self.path}: record {index} claims {num_bytes} bytes; at most {MAX_RECORD_BYTES} are read"
            )
        return int(num_bytes)

    def _read_at(self, offset: int, size: int) -> bytes:
        if self._stream is None or self._stream[1] > offset:
            self.close()
            self._stream = (self._opened(), 0)
        stream, position = self._stream
        self._stream = None  # stays so if reading fails
        try:
            _pass_over(stream, offset - position)
            content = stream.read(size)
        except BaseException:
            stream.close()
            raise
        self._stream = (stream, offset + len(content))
        return content

    def close(self) -> None:
        """Close what `read` keeps open."""
        if self._stream is not None:
            self._stream[0].close()
            self._stream = None

    def _opened(self) -> _Bytes:
        try:
            file = self.path.open("rb")
            head = file.read(_HEADER)
            file.seek(0)
        except OSError as error:
            raise DataError(f"can't read {self.path}: {error.strerror or error}") from error
        is_plain = len(head) < _HEADER or masked(crc32c(head[:8])) == int.from_bytes(head[8:], "little")
        is_packed = head[:2] == b"\x1f\x8b" or (head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0)
        return _Inflated(file, self.path) if is_packed and not is_plain else file


class _Inflated:
    """A zlib or gzip file, read forwards; never more is unpacked at a time than was asked for."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._inflater = zlib.decompressobj(wbits=47)
        self._waiting = b""

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and not self._inflater.eof:
            packed = self._waiting or self._file.read(_CHUNK)
            try:
                part = self._inflater.decompress(packed, missing)
            except zlib.error as error:
                raise DataError(f"{self._path} can't be unpacked: {error}") from error
            self._waiting = self._inflater.unconsumed_tail
            if not part and not packed:
                raise DataError(f"{self._path} is cut off")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        self._file.close()


def _pass_over(stream: _Bytes, size: int) -> int:
    """Skip bytes; says how many there were."""
    if isinstance(stream, io.BufferedReader):
        start = stream.tell()
        length = stream.seek(0, io.SEEK_END)
        stream.seek(min(start + size, length))
        return min(size, length - start)
    passed = 0
    while passed < size and (part := stream.read(min(_CHUNK, size - passed))):
        passed += len(part)
    return passed
