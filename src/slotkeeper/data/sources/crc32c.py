"""CRC-32C (Castagnoli, RFC 3720), fast enough for records of many megabytes with NumPy alone.

The bytes are cut into lanes of one length, which advance side by side; then neighbours are joined: a CRC is linear, so
that of A followed by B is the CRC of A pushed through as many zero bytes as B has, xor that of B.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_NUM_LANES = 4096
_SMALL = 64 * _NUM_LANES
_Words = NDArray[np.uint32]


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of some bytes."""
    if len(data) < 4:
        checksum = 0xFFFFFFFF
        for byte in bytes(data):
            checksum = int(_table()[(checksum ^ byte) & 0xFF]) ^ (checksum >> 8)
        return checksum ^ 0xFFFFFFFF
    letters = np.frombuffer(data, np.uint8)
    num_lanes = _NUM_LANES if letters.size >= _SMALL else max(1, 2 ** (letters.size.bit_length() // 2 - 1))
    num_words = -(-letters.size // (4 * num_lanes))
    padded = np.zeros(num_lanes * num_words * 4, np.uint8)  # leading zeros don't change a CRC that starts from 0
    padded[-letters.size :] = letters
    padded[padded.size - letters.size :][:4] ^= 0xFF  # the same as starting from 0xFFFFFFFF
    words = np.ascontiguousarray(padded.view("<u4").reshape(num_lanes, num_words).T).astype(np.uint32, copy=False)
    state, (low, high) = np.zeros(num_lanes, np.uint32), _word_tables()
    for word in words:
        state ^= word
        state = low[state & np.uint32(0xFFFF)] ^ high[state >> np.uint32(16)]
    return int(_joined(state, num_words * 4)) ^ 0xFFFFFFFF


def _joined(state: _Words, length: int) -> np.uint32:
    shift = _zero_bytes(length)
    while state.size > 1:
        state = _apply(shift, state[0::2]) ^ state[1::2]
        shift = _apply(shift, shift)
    return np.uint32(state[0])


@cache
def _table() -> _Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _word_tables() -> tuple[_Words, _Words]:
    """What four bytes make of the low and of the high half of a state."""
    halves = np.arange(2**16, dtype=np.uint32)
    shift = _zero_bytes(4)
    return _apply(shift, halves), _apply(shift, halves << np.uint32(16))


def _apply(matrix: _Words, words: _Words) -> _Words:
    """A linear map of 32 bits; row i of `matrix` is what bit i becomes."""
    moved = np.zeros_like(words)
    for bit in range(32):
        moved ^= np.where((words >> np.uint32(bit)) & 1, matrix[bit], np.uint32(0))
    return moved


def _zero_bytes(count: int) -> _Words:
    """The map that `count` zero bytes make of a state."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _table()[bits & 0xFF] ^ (bits >> np.uint32(8))  # one byte
    result = bits.copy()
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result
