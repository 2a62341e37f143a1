"""TFRecord files without TensorFlow: length, its checksum, the bytes, their checksum, again and again.

All numbers are little-endian; checksums are CRC-32C, turned and shifted ("masked"). The whole file may be compressed
with zlib or gzip. Format: tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slotkeeper.data.sources.crc32c import crc32c
from slotkeeper.errors import DataError

MAX_RECORD_BYTES = 2**29
"""Longer records are refused; a video of MOVi takes some ten megabytes."""
_MAX_RECORDS = 10**6
"""Of one file; a packed one of a few megabytes could hold a thousand times as many empty ones."""
_HEADER, _FOOTER = 12, 4
_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Record:
    """Where one record's bytes stand, counted in the uncompressed file."""

    index: int
    offset: int
    num_bytes: int


def masked(checksum: int) -> int:
    """A checksum as TFRecord files store it."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


class RecordFile:
    """One TFRecord file. Records may be read in any order; forwards is fast also where it is compressed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._bytes: _Bytes | None = None

    def records(self) -> Iterator[Record]:
        """All records, their bytes passed over.

        Raises:
            DataError: after the last whole record, if the file is damaged or cut off there.
        """
        content, index = self._from_the_start(), 0
        while header := content.read(_HEADER):
            if index == _MAX_RECORDS:
                raise DataError(f"{self.path} has more than {_MAX_RECORDS} records; the others are not read")
            num_bytes, offset = self._length(header, index), content.position
            if content.skip(num_bytes + _FOOTER) < num_bytes + _FOOTER:
                raise DataError(f"{self.path}: record {index} is cut off; it should have {num_bytes} bytes")
            yield Record(index=index, offset=offset, num_bytes=num_bytes)
            index += 1

    def read(self, record: Record) -> bytes:
        """The bytes of a record.

        Raises:
            DataError: they are cut off, or are not those that were written.
        """
        with self._lock:
            if self._bytes is None or self._bytes.position > record.offset:
                self._bytes = self._from_the_start()
            self._bytes.skip(record.offset - self._bytes.position)
            content = self._bytes.read(record.num_bytes + _FOOTER)
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

    def _from_the_start(self) -> _Bytes:
        head = _Bytes(self.path).read(_HEADER)
        is_plain = len(head) < _HEADER or masked(crc32c(head[:8])) == int.from_bytes(head[8:], "little")
        is_packed = head[:2] == b"\x1f\x8b" or (head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0)
        return _PackedBytes(self.path) if is_packed and not is_plain else _Bytes(self.path)


class _Bytes:
    """A file that is read forwards. Nothing stays open between two reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; less only at the end."""
        content = self._read_file(self.position, size)
        self.position += len(content)
        return content

    def skip(self, size: int) -> int:
        """Pass over bytes; returns how many there were."""
        passed = min(size, max(0, self._path.stat().st_size - self.position))
        self.position += passed
        return passed

    def _read_file(self, offset: int, size: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise DataError(f"can't read {self._path}: {error.strerror or error}") from error


class _PackedBytes(_Bytes):
    """The same of a zlib or gzip file; never more is unpacked at a time than was asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._inflater = zlib.decompressobj(wbits=47)
        self._packed_position = 0
        self._waiting = b""

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and not self._inflater.eof:
            packed = self._waiting or self._next_packed()
            try:
                part = self._inflater.decompress(packed, missing)
            except zlib.error as error:
                raise DataError(f"{self._path} can't be unpacked: {error}") from error
            self._waiting = self._inflater.unconsumed_tail
            if not part and not packed:
                raise DataError(f"{self._path} is cut off")
            parts.append(part)
            missing -= len(part)
        self.position += size - missing
        return b"".join(parts)

    def skip(self, size: int) -> int:
        passed = 0
        while passed < size and (part := self.read(min(_CHUNK, size - passed))):
            passed += len(part)
        return passed

    def _next_packed(self) -> bytes:
        packed = self._read_file(self._packed_position, _CHUNK)
        self._packed_position += len(packed)
        return packed
