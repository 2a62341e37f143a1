"""Frames made small, and how much of a picture changes from one to another beyond motion and light."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch.nn import functional

from slotkeeper.data.resizing import resize_frames

_SIDE = 32
"""Cells of a side of the picture that frames are compared on."""
_STANDARD = 0.2
"""Standard deviation that pictures are brought to before they are compared at one brightness and contrast."""
_REACH = 2
"""Cells that things may move between two frames: a sixteenth of the picture."""
_TOLERANCE = 0.05
"""How far a colour, in [0, 1], may lie outside those around its place in the other frame."""
_SUBSAMPLED = 256
"""Larger frames are thinned out to about this side first, so that 4K costs no more."""

Thumbnail = Float[np.ndarray, "side side 3"]


def thumbnail_of(pixels: UInt8[np.ndarray, "h w 3"]) -> Thumbnail:
    """A frame in 32 x 32 cells, RGB in [0, 1]."""
    down, right = (max(1, side // _SUBSAMPLED) for side in pixels.shape[:2])
    thinned = np.ascontiguousarray(pixels[::down, ::right])
    small: Thumbnail = resize_frames(thinned[None], (_SIDE, _SIDE))[0].astype(np.float32) / 255
    return small


def change_between(before: Thumbnail, after: Thumbnail, least: float = 0.0) -> float:
    """Share of the picture that motion and brightness don't explain, in [0, 1].

    0 at once where it can't exceed `least`, as in most frames.
    """
    if np.mean(np.abs(before - after).max(axis=-1) > _TOLERANCE) <= least:
        return 0.0
    brighter = float(np.median(after) - np.median(before))
    ways = ((before, after, 0.0), (before, after, brighter), (after, before, 0.0), (after, before, -brighter))
    return min(_strange(one, other - offset) for one, other, offset in ways)


def differ_in_standard(before: Thumbnail, after: Thumbnail, least: float) -> bool:
    """Whether more than `least` of the picture changes when both are brought to one brightness and contrast."""
    one, other = ((seen - seen.mean()) * (_STANDARD / (seen.std() + 1e-6)) for seen in (before, after))
    return change_between(one, other, least) > least


def difference_between(before: Thumbnail, after: Thumbnail) -> Float[np.ndarray, "side side"]:
    """Largest difference of a cell's colours, with the overall brightness taken out."""
    difference = after - before
    largest: Float[np.ndarray, "side side"] = np.abs(difference - np.median(difference)).max(axis=-1)
    return largest


def outside_quarter(difference: Float[np.ndarray, "side side"]) -> Bool[np.ndarray, "side side"]:
    """All cells but those of the quarter of the picture, a square, that holds most of the changed ones."""
    half = len(difference) // 2
    changed = torch.from_numpy((difference > _TOLERANCE).astype(np.float32))
    counts = functional.avg_pool2d(changed[None], half, stride=1)[0].numpy()
    top, left = np.unravel_index(counts.argmax(), counts.shape)
    is_outside = np.ones_like(difference, dtype=bool)
    is_outside[top : top + half, left : left + half] = False
    return is_outside


def _strange(known: Thumbnail, new: Thumbnail) -> float:
    """Share of cells of `new` whose colour lies outside those of `known` around their place."""
    planes = torch.from_numpy(known).permute(2, 0, 1)
    bounds = functional.max_pool2d(torch.cat((planes, -planes))[None], 2 * _REACH + 1, stride=1, padding=_REACH)[0]
    high, low = bounds[:3].permute(1, 2, 0).numpy(), -bounds[3:].permute(1, 2, 0).numpy()
    is_strange = (new < low - _TOLERANCE) | (new > high + _TOLERANCE)
    return float(is_strange.any(axis=-1).mean())
