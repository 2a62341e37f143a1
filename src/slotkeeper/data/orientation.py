"""Which way up a decoded frame is shown: turned and mirrored as its display matrix says (ISO 14496-12, 8.2.2)."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

_IDENTITY = (1, 0, 0, 1)


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """The rotation part (a, b, c, d) of a frame's matrix: x' = a x + c y, y' = b x + d y."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return _IDENTITY
    a, b, _, c, d = np.frombuffer(memoryview(data), dtype=np.int32)[:5].tolist()
    return a, b, c, d


def is_transposed(matrix: tuple[int, int, int, int]) -> bool:
    """Whether width and height change places."""
    a, _, c, _ = matrix
    return abs(c) > abs(a)


def upright(pixels: UInt8[np.ndarray, "h w 3"], matrix: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Turn and mirror by the nearest multiple of 90 degrees; a view."""
    a, b, c, d = matrix
    if is_transposed(matrix):
        pixels, x_sign, y_sign = pixels.transpose(1, 0, 2), c, b
    else:
        x_sign, y_sign = a, d
    return pixels[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1]
