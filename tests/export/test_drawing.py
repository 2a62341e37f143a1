"""Pictures: tints, outlines, ids, grids of slots, animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from color_model import BLUE, GREY, RED, color_model, draw_squares
from PIL import Image

from slotkeeper.errors import OutputError
from slotkeeper.export import draw_overlay, slot_grid, write_animation
from slotkeeper.export.palette import PALETTE, color_of, color_table, css_color
from slotkeeper.types import Clip


def test_neighbouring_ids_have_distinct_colours_and_the_palette_repeats():
    assert len(set(PALETTE)) == 20
    assert color_of(21) == color_of(1)
    assert color_table(45)[0].tolist() == [0, 0, 0]
    assert [tuple(color) for color in color_table(45)[1:].tolist()] == [color_of(track_id) for track_id in range(1, 46)]
    assert css_color(1) == "#f8543c"
    first = np.array(PALETTE[:10], dtype=float)
    distances = np.linalg.norm(first[:, None] - first[None], axis=-1) + 1e3 * np.eye(10)
    assert distances.min() > 50


def test_an_overlay_changes_objects_and_leaves_the_background():
    pixels = np.full((64, 80, 3), 100, dtype=np.uint8)
    segments = np.zeros((64, 80), dtype=np.int32)
    segments[20:40, 30:50] = 2
    drawn = draw_overlay(pixels, segments, opacity=0.5)
    assert (drawn[segments == 0] == 100).all()
    assert tuple(drawn[20, 30]) == color_of(2)
    middle = (100 + np.array(color_of(2))) / 2
    assert np.abs(drawn[30, 40] - middle).max() <= 1
    assert (pixels == 100).all()


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (180, 0, 200, 15), (0, 140, 30, 150), (100, 70, 130, 90)])
def test_ids_are_written_inside_the_picture(box: tuple[int, int, int, int]):
    segments = np.zeros((150, 200), dtype=np.int32)
    segments[box[1] : box[3], box[0] : box[2]] = 7
    drawn = draw_overlay(np.zeros((150, 200, 3), dtype=np.uint8), segments, opacity=0.0)
    plate = (drawn == color_of(7)).all(axis=-1)
    assert plate.sum() > 60
    empty = np.zeros((150, 200, 3), dtype=np.uint8)
    assert (draw_overlay(empty, np.zeros((150, 200), dtype=np.int32)) == 0).all()


def test_large_ids_look_like_the_small_ones_they_share_a_colour_with():
    segments = np.zeros((100, 100), dtype=np.int32)
    segments[10:40, 10:40], segments[50:90, 50:90] = 3, 20
    pixels = np.full((100, 100, 3), 90, dtype=np.uint8)
    later = np.where(segments > 0, segments + 20 * 5_000, 0)
    assert np.array_equal(draw_overlay(pixels, segments), draw_overlay(pixels, later))


def test_a_slot_grid_has_a_row_per_kind_and_a_column_per_frame():
    pixels = draw_squares(
        [(RED, 16, lambda t: (4 + t, 8)), (BLUE, 16, lambda t: (40, 30))], num_frames=8, size=(64, 64)
    )
    frames = torch.from_numpy(pixels).permute(0, 3, 1, 2)[None].float() / 255
    model = color_model([[GREY], [RED], [BLUE]])
    clip = Clip(frames=frames, times=torch.zeros(1, 8), segments=torch.zeros(1, 8, 64, 64, dtype=torch.int64))
    grid = slot_grid(clip, model(frames), num_frames=4)
    assert grid.shape == (7 * 66, 64 + 4 * 66, 3)
    assert np.array_equal(grid[:64, 64:128], pixels[0])
    segments_row = grid[3 * 66 : 3 * 66 + 64, 64:128]
    assert tuple(segments_row[16, 12]) == color_of(2)
    assert tuple(segments_row[2, 2]) == color_of(1)
    slot_of_red = grid[5 * 66 : 5 * 66 + 64, 64:128]
    assert np.abs(slot_of_red[16, 12].astype(int) - RED).max() < 12
    assert slot_of_red[50, 5].min() > 200


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_keep_their_frames(suffix: str, tmp_path: Path):
    frames = draw_squares([(RED, 16, lambda t: (4 + 6 * t, 8))], num_frames=5, size=(48, 64))
    write_animation(tmp_path / f"a{suffix}", list(frames), fps=10.0)
    with Image.open(tmp_path / f"a{suffix}") as animation:
        assert animation.n_frames == 5
        assert animation.size == (64, 48)
        animation.seek(4)
        assert np.abs(np.asarray(animation.convert("RGB"))[12, 34].astype(int) - RED).max() < 25


def test_animations_refuse_other_suffixes_and_no_frames(tmp_path: Path):
    with pytest.raises(OutputError, match=r"\.gif or \.webp"):
        write_animation(tmp_path / "a.png", [np.zeros((4, 4, 3), dtype=np.uint8)])
    with pytest.raises(OutputError, match="no frame"):
        write_animation(tmp_path / "a.gif", [])
