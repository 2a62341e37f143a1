"""Run-length encoded masks as COCO writes them, compressed or not.

Own code, since it reads hostile files: every length is compared with the picture before anything is filled.
Format: columns from left to right, runs of zeros and ones in turn, beginning with zeros. The compressed form holds five
bits a letter, from "0" on, and from the fourth run on differences to the run two before (pycocotools, maskApi.c).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from slotkeeper.data.frames import MAX_PIXELS
from slotkeeper.errors import DataError

_MAX_LETTERS = 7  # of one run: 35 bits


def decode_rle(rle: object, *, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """One mask of `height` x `width` pixels from its dictionary with `size` and `counts`.

    Raises:
        DataError: another size, or runs that don't fill the picture exactly.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(f"a mask of {width}x{height} pixels can't be read; at most {MAX_PIXELS} pixels are")
    if not isinstance(rle, dict) or "counts" not in rle:
        raise DataError("a mask is no run-length encoding with size and counts; polygons are not read")
    if rle.get("size") != [height, width]:
        raise DataError(f"a mask has the size {rle.get('size')}, but its video has [{height}, {width}]")
    counts = rle["counts"]
    if isinstance(counts, str) and len(counts) > _MAX_LETTERS * (height * width + 1):
        raise DataError(f"a mask of {width}x{height} pixels can't have compressed counts of {len(counts)} letters")
    runs = _compressed_runs(counts) if isinstance(counts, str) else _plain_runs(counts, height * width)
    if (runs.size and (runs.min() < 0 or runs.max() > height * width)) or int(runs.sum()) != height * width:
        raise DataError(f"a mask's runs don't fill its {width}x{height} pixels")
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _plain_runs(counts: object, num_pixels: int) -> NDArray[np.int64]:
    if not isinstance(counts, list) or len(counts) > num_pixels + 1:
        raise DataError("a mask's counts are neither a text nor a list of runs")
    if any(type(run) is not int or not 0 <= run <= num_pixels for run in counts):
        raise DataError("a mask's runs don't fit its picture")
    return np.asarray(counts, dtype=np.int64)


def _compressed_runs(text: str) -> NDArray[np.int64]:
    if not text.isascii():
        raise DataError("a mask's compressed counts are damaged")
    letters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    if letters.size == 0:
        return letters
    is_last = (letters & 0x20) == 0
    if letters.min() < 0 or letters.max() > 63 or not is_last[-1]:
        raise DataError("a mask's compressed counts are damaged")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_LETTERS:
        raise DataError("a mask's compressed counts hold an absurd run")
    place = np.arange(letters.size) - np.repeat(starts, lengths)
    runs = np.add.reduceat((letters & 0x1F) << (5 * place), starts)
    runs -= np.where(letters[ends] & 0x10, np.int64(1) << (5 * lengths), 0)  # the sign
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
