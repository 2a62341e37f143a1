"""The size at which the model sees a frame: no crop, ever."""

from __future__ import annotations

from typing import Literal

FrameFit = Literal["aspect", "stretch"]
_CHUNK = 16
_CHUNK_SLOT_PIXELS = 2**23


def chunk_length(num_slots: int, size: tuple[int, int]) -> int:
    """Frames that are encoded and decoded together: 16, fewer where slots and `size` (height, width) are large.

    Bounds the memory; results don't depend on it.
    """
    return max(1, min(_CHUNK, _CHUNK_SLOT_PIXELS // (num_slots * size[0] * size[1])))


def model_size(source: tuple[int, int], size: tuple[int, int], *, fit: FrameFit, stride: int) -> tuple[int, int]:
    """Height and width given to the model for a video of size `source`.

    "stretch" is the model's own `size`: every model takes it, shapes are squeezed. "aspect" has about the area of
    `size` and the shape of the video, rounded to multiples of `stride`; a video of the model's own shape gets `size`.
    """
    height, width = size
    wanted = source[0] / source[1]
    if fit == "stretch" or source[0] * width == source[1] * height:
        return size
    side = (height * width) ** 0.5
    return (
        max(stride, round(side * wanted**0.5 / stride) * stride),
        max(stride, round(side / wanted**0.5 / stride) * stride),
    )
