"""Writes TFRecord files and tf.train messages, by code that shares nothing with what reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

Value = Sequence[bytes] | Sequence[int] | Sequence[float]


def eight_bits(state: int) -> int:
    for _ in range(8):
        state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state


TABLE = [eight_bits(byte) for byte in range(256)]


@cache
def slow_crc32c(data: bytes) -> int:
    """Byte by byte, as RFC 3720 defines it."""
    state = 0xFFFFFFFF
    for byte in data:
        state = TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> bytes:
    crc = slow_crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def frame_record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_crc(length) + data + masked_crc(data)


def write_records(path: Path, records: Iterable[bytes], *, is_packed: bool = False) -> Path:
    content = b"".join(frame_record(record) for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zlib.compress(content) if is_packed else content)
    return path


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    """A field of wire type 2: bytes with their length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(value: Value) -> bytes:
    """bytes -> bytes_list, float -> float_list, int -> int64_list."""
    if value and isinstance(value[0], bytes):
        return field(1, b"".join(field(1, part) for part in value))  # type: ignore[arg-type]
    if value and isinstance(value[0], float):
        return field(2, field(1, struct.pack(f"<{len(value)}f", *value)))
    return field(3, field(1, b"".join(varint(int(number)) for number in value)))


def features(values: Mapping[str, Value]) -> bytes:
    return b"".join(field(1, field(1, name.encode()) + field(2, feature(value))) for name, value in values.items())


def example(values: Mapping[str, Value]) -> bytes:
    """A tf.train.Example."""
    return field(1, features(values))


def sequence_example(context: Mapping[str, Value], lists: Mapping[str, Sequence[Value]]) -> bytes:
    """A tf.train.SequenceExample."""
    entries = b"".join(
        field(1, field(1, name.encode()) + field(2, b"".join(field(1, feature(value)) for value in values)))
        for name, values in lists.items()
    )
    return field(1, features(context)) + field(2, entries)
