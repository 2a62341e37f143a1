"""Small pictures for the page, as data addresses."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from slotkeeper.export.palette import color_of
from slotkeeper.tracking import TrackedObject

_CROP_SIDE = 96
_MOST_SIDE = 8 * _CROP_SIDE
"""Larger cuts are thinned out before anything is done to them: those of 4K videos took seconds."""
_CONTEXT = 0.15
"""What is shown around an object, as a share of its box."""


def webp_address(pixels: UInt8[np.ndarray, "h w c"], *, quality: int = 80) -> str:
    """An RGB or RGBA picture as `data:image/webp;base64,...`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def crop_object(pixels: UInt8[np.ndarray, "h w 3"], tracked: TrackedObject) -> UInt8[np.ndarray, "side side 3"]:
    """A square cut around an object, everything else dimmed and the object outlined in its colour."""
    window = _square_around(tracked.box)
    left, top, right, bottom = window
    canvas = np.zeros((bottom - top, right - left, 3), dtype=np.uint8)
    mask = np.zeros(canvas.shape[:2], dtype=bool)
    height, width = pixels.shape[:2]
    rows, columns = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    canvas[inner], mask[inner] = pixels[rows, columns], tracked.mask[rows, columns]
    step = max(1, len(mask) // _MOST_SIDE)
    canvas, mask = canvas[::step, ::step], mask[::step, ::step]
    canvas[~mask] = (canvas[~mask] * 0.45).astype(np.uint8)
    is_small = len(mask) < _CROP_SIDE
    resampling = Image.Resampling.NEAREST if is_small else Image.Resampling.BOX
    side = (_CROP_SIDE, _CROP_SIDE)
    picture = np.asarray(Image.fromarray(canvas).resize(side, resampling)).copy()
    shown = np.asarray(Image.fromarray(mask).resize(side, Image.Resampling.NEAREST))
    picture[_outline(shown)] = color_of(tracked.id)
    return picture


def _outline(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    inside = np.pad(mask, 1)
    is_deep = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    outline: Bool[np.ndarray, "h w"] = mask & ~is_deep
    return outline


def _square_around(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A square with some room around a box, as left top right bottom; may reach beyond the picture."""
    x0, y0, x1, y1 = box
    side = max(4, round(max(x1 - x0, y1 - y0) * (1 + 2 * _CONTEXT)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    return left, top, left + side, top + side
