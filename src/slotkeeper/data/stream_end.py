"""Whether a stream ended where its format may end: decoders say nothing when a pipe breaks off.

Matroska says how long its elements are (RFC 8794), a transport stream consists of packets (ISO 13818-1). Of other
formats nothing is said. Private to `slotkeeper.data.stream`.
"""

from __future__ import annotations

_MAGIC = b"\x1a\x45\xdf\xa3"
_ENTERED = (0x18538067, 0x1F43B675)
"""Segment and Cluster: what they hold is followed, any other element is passed over as a whole."""
_SYNC = 0x47
_PACKET_SIZES = (188, 192, 204)
_SYNC_PLACES = {188: 0, 192: 4, 204: 0}


class StreamEnd:
    """Give it all bytes in order, in parts of any length, then ask."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._elements: _Elements | None = None

    def feed(self, part: bytes) -> None:
        """Take in the next bytes."""
        if len(self._head) < len(_MAGIC):
            self._head += part
            if len(self._head) < len(_MAGIC):
                return
            if self._head.startswith(_MAGIC):
                self._elements = _Elements()
            part = self._head
        if self._elements is not None:
            self._elements.feed(part)
        self._tail = (self._tail + part)[-2 * max(_PACKET_SIZES) :]

    def breaks_off(self, format_name: str) -> bool:
        """Whether the bytes so far end in the middle of something. format_name: as FFmpeg calls it."""
        if format_name.startswith("matroska"):
            return self._elements is not None and not self._elements.is_whole
        if format_name == "mpegts":
            return not any(self._ends_with_packets(size) for size in _PACKET_SIZES)
        return False

    def _ends_with_packets(self, size: int) -> bool:
        """Whether the last two packets begin where packets of this size do."""
        place = _SYNC_PLACES[size]
        starts = [-size + place, -2 * size + place]
        return all(len(self._tail) + start >= 0 and self._tail[start] == _SYNC for start in starts)


class _Elements:
    """Follows the elements of a Matroska stream by their lengths, without looking into them."""

    def __init__(self) -> None:
        self._position = 0
        self._next = 0  # where the next element begins
        self._end = 0  # where what was entered ends, as far as it says so
        self._header = b""
        self._is_lost = False

    @property
    def is_whole(self) -> bool:
        """Whether the last element is complete, and all that contain it; true where the structure is damaged."""
        return self._is_lost or (not self._header and self._position == self._next >= self._end)

    def feed(self, part: bytes) -> None:
        place = 0
        while place < len(part) and not self._is_lost:
            if not self._header and self._position < self._next:
                passed = min(len(part) - place, self._next - self._position)
                place += passed
                self._position += passed
                continue
            self._header += part[place : place + 1]
            place += 1
            self._position += 1
            self._read_header()

    def _read_header(self) -> None:
        """Once the header is complete, find out where its element ends (RFC 8794, sections 5 and 6)."""
        id_length = _length_of_number(self._header[0])
        if id_length > 4:
            self._is_lost = True
            return
        if len(self._header) <= id_length:
            return
        size_length = _length_of_number(self._header[id_length])
        if size_length > 8:
            self._is_lost = True
            return
        if len(self._header) < id_length + size_length:
            return
        identity = int.from_bytes(self._header[:id_length])
        mask = (1 << 7 * size_length) - 1
        size = int.from_bytes(self._header[id_length:]) & mask
        self._header = b""
        self._next = self._position
        if identity not in _ENTERED:
            self._next += 0 if size == mask else size
        elif size != mask:  # all ones: unknown, as in live streams
            self._end = max(self._end, self._position + size)


def _length_of_number(first: int) -> int:
    """Bytes of a number by its first byte: as many as there are leading zero bits, and one."""
    return 9 - first.bit_length()
