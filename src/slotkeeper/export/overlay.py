"""A frame with its objects tinted, outlined and numbered."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from slotkeeper.export.palette import color_of, colors_of

_LEAST_SIDE_FOR_LABELS = 120
"""Below this the numbers would cover the objects."""


def draw_overlay(
    pixels: UInt8[np.ndarray, "h w 3"], segments: Int[np.ndarray, "h w"], *, opacity: float = 0.4
) -> UInt8[np.ndarray, "h w 3"]:
    """Tint each object in its id's colour, outline it and write its id, where the picture is large enough for that.

    Args:
        pixels: RGB.
        segments: ids, 0 for background.
        opacity: of the tint, in [0, 1].
    """
    side = min(segments.shape)
    picture = pixels.copy()
    is_object = segments > 0
    if not is_object.any():
        return picture
    tint = colors_of(segments[is_object]).astype(np.float32)
    picture[is_object] = (pixels[is_object] * (1 - opacity) + tint * opacity + 0.5).astype(np.uint8)
    edges = _inner_edges(segments, max(1, round(side / 300))) & is_object
    picture[edges] = colors_of(segments[edges])
    if side >= _LEAST_SIDE_FOR_LABELS:
        _write_ids(picture, segments, text_height=max(11, round(side / 28)))
    return picture


def _inner_edges(segments: Int[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ from the one `width` away in one of four directions."""
    edges = np.zeros(segments.shape, dtype=bool)
    across = segments[:, width:] != segments[:, :-width]
    down = segments[width:] != segments[:-width]
    edges[:, width:] |= across
    edges[:, :-width] |= across
    edges[width:] |= down
    edges[:-width] |= down
    return edges


def _write_ids(picture: UInt8[np.ndarray, "h w 3"], segments: Int[np.ndarray, "h w"], *, text_height: int) -> None:
    """Put a plate with the id above each object's top left corner, or inside where there is no room above."""
    height, width = segments.shape
    counts = np.bincount(segments.ravel())
    counts[0] = 0
    shown = np.flatnonzero(counts)
    places = np.zeros(len(counts), dtype=np.int32)  # ids of a stream grow large; what is shown stays a few
    places[shown] = np.arange(1, len(shown) + 1)
    for track_id, window in zip(shown.tolist(), ndimage.find_objects(places[segments]), strict=True):
        plate = _plate(track_id, text_height)
        rows, columns = min(len(plate), height), min(plate.shape[1], width)
        top = window[0].start - rows if window[0].start >= rows else min(window[0].start, height - rows)
        left = min(window[1].start, width - columns)
        picture[top : top + rows, left : left + columns] = plate[:rows, :columns]


@lru_cache(maxsize=512)
def _plate(track_id: int, text_height: int) -> UInt8[np.ndarray, "rows columns 3"]:
    """The id in black or white, whichever shows better, on its colour."""
    color = color_of(track_id)
    font = ImageFont.load_default(size=text_height)
    left, top, right, bottom = (round(value) for value in font.getbbox(str(track_id)))
    margin = max(2, text_height // 5)
    plate = Image.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin), color)
    is_light = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 130
    ink = (0, 0, 0) if is_light else (255, 255, 255)
    ImageDraw.Draw(plate).text((margin - left, margin - top), str(track_id), font=font, fill=ink)
    return np.asarray(plate)
