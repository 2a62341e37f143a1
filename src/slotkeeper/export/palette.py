"""Colours of ids: twenty that differ in hue and lightness, in an order that keeps neighbours apart; then again."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8

Color = tuple[int, int, int]

PALETTE: tuple[Color, ...] = (
    (248, 84, 60),
    (48, 136, 252),
    (60, 206, 88),
    (250, 196, 48),
    (214, 76, 232),
    (72, 214, 236),
    (252, 130, 196),
    (150, 96, 250),
    (166, 184, 32),
    (250, 140, 40),
    (20, 160, 140),
    (238, 32, 132),
    (152, 160, 252),
    (124, 168, 84),
    (206, 148, 84),
    (180, 236, 164),
    (170, 84, 152),
    (24, 152, 190),
    (230, 120, 130),
    (188, 232, 40),
)


def color_of(track_id: int) -> Color:
    """RGB of an id from 1 on."""
    return PALETTE[(track_id - 1) % len(PALETTE)]


def color_table(largest_id: int) -> UInt8[np.ndarray, "ids 3"]:
    """RGB by id; row 0 (background) is black."""
    repeats = -(-largest_id // len(PALETTE))
    colors = np.array(PALETTE * repeats, dtype=np.uint8).reshape(-1, 3)[:largest_id]
    return np.concatenate([np.zeros((1, 3), dtype=np.uint8), colors])


def colors_of(ids: Int[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """RGB of many ids, background black; takes no longer for large ids, as streams have."""
    colors: UInt8[np.ndarray, "*shape 3"] = color_table(len(PALETTE))[
        np.where(ids > 0, (ids - 1) % len(PALETTE) + 1, 0)
    ]
    return colors


def css_color(track_id: int) -> str:
    """The same colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*color_of(track_id))
