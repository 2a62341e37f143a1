"""`tf.train.Example` and `tf.train.SequenceExample` messages without TensorFlow: named lists of bytes or numbers.

Both are protocol buffers of known shape (tensorflow/core/example/example.proto): a map from names to lists of bytes,
of float32 or of int64. Lists stay as they are until one is asked for, so that what isn't needed costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from slotkeeper.errors import DataError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_BYTES, _FLOATS, _INTS = 1, 2, 3
_MAX_FEATURES = 10_000
_MAX_VALUES = 2**27
_MAX_PARTS = 2**20
"""Of one list: numbers are packed into one part, bytes are a part each."""
_Field = tuple[int, int, memoryview]


class Example:
    """The features of one message. Lists of a SequenceExample follow each other as one list.

    Args:
        data: the message.
        place: how errors name it.

    Raises:
        DataError: it is no such message.
    """

    def __init__(self, data: bytes, place: str) -> None:
        self._place = place
        self._features: dict[str, list[memoryview]] = {}
        try:
            for number, _, content in _fields(memoryview(data)):
                if number == 1:  # features, or context
                    self._add_map(content, is_list=False)
                elif number == 2:  # feature_lists
                    self._add_map(content, is_list=True)
        except (ValueError, IndexError, UnicodeDecodeError) as error:
            raise DataError(f"{place} is no readable tf.train.Example: {error}") from error

    def __contains__(self, name: object) -> bool:
        return name in self._features

    def names(self) -> list[str]:
        """Of all features."""
        return list(self._features)

    def byte_strings(self, name: str) -> list[bytes]:
        """A list of bytes.

        Raises:
            DataError: the feature is missing, damaged, or of another kind.
        """
        return [bytes(value) for number, _, value in self._values(name, _BYTES) if number == 1]

    def floats(self, name: str) -> NDArray[np.float32]:
        """A list of numbers; raises as `byte_strings`."""
        parts = [
            np.frombuffer(value[: len(value) // 4 * 4], np.dtype("<f4")) for _, _, value in self._values(name, _FLOATS)
        ]
        return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)

    def ints(self, name: str) -> NDArray[np.int64]:
        """A list of whole numbers; raises as `byte_strings`."""
        parts = [self._varints(value, name) for _, _, value in self._values(name, _INTS)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _add_map(self, entries: memoryview, *, is_list: bool) -> None:
        for _, _, entry in _fields(entries):
            both = {number: content for number, _, content in _fields(entry)}
            name = bytes(both.get(1, memoryview(b""))).decode()
            value = both.get(2, memoryview(b""))
            parts: Iterable[memoryview] = (part for _, _, part in _fields(value)) if is_list else [value]
            self._features[name] = list(islice(parts, _MAX_PARTS + 1))
            if len(self._features[name]) > _MAX_PARTS:
                raise ValueError(f"more than {_MAX_PARTS} parts")
            if len(self._features) > _MAX_FEATURES:
                raise ValueError(f"more than {_MAX_FEATURES} features")

    def _values(self, name: str, kind: int) -> Iterator[_Field]:
        if name not in self._features:
            raise DataError(f"{self._place} has no feature '{name}'")
        num_parts = 0
        try:
            for feature in self._features[name]:
                for number, _, content in _fields(feature):
                    if number != kind:
                        raise DataError(f"{self._place}: the feature '{name}' is of another kind than expected")
                    for part in _fields(content):
                        num_parts += 1
                        if num_parts > _MAX_PARTS:
                            raise ValueError(f"more than {_MAX_PARTS} parts")
                        yield part
        except (ValueError, IndexError) as error:
            raise DataError(f"{self._place}: the feature '{name}' is damaged: {error}") from error

    def _varints(self, packed: memoryview, name: str) -> NDArray[np.int64]:
        letters = np.frombuffer(packed, np.uint8)
        if letters.size == 0:
            return np.zeros(0, np.int64)
        ends = np.flatnonzero(letters < 0x80)
        if ends.size == 0 or ends[-1] != letters.size - 1 or ends.size > _MAX_VALUES:
            raise DataError(f"{self._place}: the feature '{name}' is damaged, its numbers don't end")
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts + 1
        if lengths.max() > 10:
            raise DataError(f"{self._place}: the feature '{name}' is damaged, a number is too long")
        values = np.zeros(ends.size, np.uint64)
        for byte in range(int(lengths.max())):
            has = lengths > byte
            values[has] |= (letters[starts[has] + byte] & 0x7F).astype(np.uint64) << np.uint64(7 * byte)
        return values.view(np.int64)


def _fields(message: memoryview) -> Iterator[_Field]:
    """Number, wire type and bytes of each field; of a varint the bytes that it takes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, end = _varint(message, position)
        elif wire_type == _LENGTH:
            length, position = _varint(message, position)
            end = position + length
        elif wire_type in (_FIXED32, _FIXED64):
            end = position + (4 if wire_type == _FIXED32 else 8)
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if end > len(message):
            raise ValueError("a field is cut off")
        yield number, wire_type, message[position:end]
        position = end


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = message[position + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError("a number is too long")
