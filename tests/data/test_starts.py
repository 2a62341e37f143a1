"""Start files, and what true masks say about where things are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from slotkeeper.data import Start, given_start, read_starts, save_segments, start_from_segments
from slotkeeper.errors import DataError

SIZE = (40, 80)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def labels() -> np.ndarray:
    """Thing 7 in columns 20 to 39 and rows 10 to 19 of 40x80 pixels, thing 3 in one pixel at the lower right."""
    masks = np.zeros(SIZE, np.uint8)
    masks[10:20, 20:40] = 7
    masks[39, 79] = 3
    return masks


def one(path: Path) -> Start:
    start = read_starts(path)
    assert isinstance(start, Start)
    return start


def test_boxes_in_pixels_become_shares_of_the_picture(tmp_path: Path):
    start = one(write(tmp_path / "boxes.json", {"boxes": [[0, 0, 80, 40], [20, 10, 40, 20.0]]}))
    given = given_start(start, SIZE)
    assert given.boxes is not None
    assert given.boxes[0].tolist() == [[-1, -1, 1, 1], [-0.5, -0.5, 0, 0]]
    assert given.points[0].tolist() == [[0, 0], [-0.25, -0.25]]
    assert given.is_given.all()


def test_points(tmp_path: Path):
    given = given_start(one(write(tmp_path / "points.json", {"points": [[80, 0], [20, 30]]})), SIZE)
    assert given.points[0].tolist() == [[1, -1], [-0.5, 0.5]]
    assert (given.kind, given.boxes, given.shapes) == ("points", None, None)


@pytest.mark.parametrize("name", ["first.png", "masks.npz"])
def test_masks_say_all_that_boxes_and_points_say_in_the_order_of_their_labels(name: str, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    if name == "first.png":
        Image.fromarray(labels()).save(tmp_path / "sub" / name)
    else:
        save_segments(tmp_path / "sub" / name, np.stack([labels(), np.zeros_like(labels())]))
    start = one(write(tmp_path / "start.json", {"masks": f"sub/{name}"}))
    assert start.num_objects == 2
    given = given_start(start, SIZE)
    assert given.boxes is not None
    assert given.shapes is not None
    torch.testing.assert_close(given.boxes[0, 1], torch.tensor([-0.5, -0.5, 0.0, 0.0]))
    torch.testing.assert_close(given.points[0, 0], torch.tensor([79.5 / 40 - 1, 39.5 / 20 - 1]))
    mean_x, mean_y, deviation_x, deviation_y, covariance, share = given.shapes[0, 1].tolist()
    assert (mean_x, mean_y) == pytest.approx((-0.25, -0.25))
    assert deviation_x == pytest.approx(np.arange(20).std() / 40)
    assert deviation_y == pytest.approx(np.arange(10).std() / 20)
    assert covariance == pytest.approx(0, abs=1e-6)
    assert share == pytest.approx(200 / 3200)


def test_the_point_of_a_ring_lies_on_it():
    masks = torch.zeros(1, 9, 9, dtype=torch.int32)
    masks[0, 2:7, 2:7] = 1
    masks[0, 3:6, 3:6] = 0
    given = start_from_segments(masks, 1)
    column, row = ((given.points[0, 0] + 1) * 4.5 - 0.5).round().int().tolist()
    assert masks[0, row, column] == 1


def test_of_too_many_things_the_largest_are_kept_in_the_order_of_their_labels():
    masks = torch.zeros(2, 8, 8, dtype=torch.int32)
    masks[0, 0, :4], masks[0, 2, :2], masks[0, 4, :6] = 5, 1, 2
    given = start_from_segments(masks, 2)
    assert given.is_given.tolist() == [[True, True], [False, False]]
    assert given.shapes is not None
    torch.testing.assert_close(given.shapes[0, :, 5], torch.tensor([6 / 64, 4 / 64]))


def test_a_start_for_each_video(tmp_path: Path):
    starts = read_starts(write(tmp_path / "s.json", {"videos": {"cat": {"points": [[1, 2]]}, "dog": {"boxes": []}}}))
    assert isinstance(starts, dict)
    assert {name: start.kind for name, start in starts.items()} == {"cat": "points", "dog": "boxes"}
    assert starts["cat"].source.endswith("s.json: cat")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ([], "must hold"),
        ({}, "must hold"),
        ({"boxs": []}, "unknown key 'boxs'; did you mean 'boxes'"),
        ({"boxes": [], "points": []}, "one of boxes, points and masks"),
        ({"boxes": {"a": 1}}, "boxes must be a list of"),
        ({"boxes": [[1, 2, 3]]}, r"boxes\.0 must be numbers \[x0, y0, x1, y1\], got \[1, 2, 3\]"),
        ({"boxes": [[1, 2, 3, "4"]]}, r"boxes\.0 must be numbers"),
        ({"boxes": [[1, 2, 3, 10**400]]}, r"boxes\.0 must be numbers"),
        ({"points": [[1, 2], [1, True]]}, r"points\.1 must be numbers"),
        ({"masks": 3}, "masks must be the path"),
        ({"masks": "none.npz"}, r"start\.json: no such mask file: .*none\.npz"),
        ({"masks": "none.png"}, r"start\.json: no such mask file: .*none\.png"),
        ({"videos": {}}, "'videos' must stand alone"),
        ({"videos": {"a": {"points": []}}, "boxes": []}, "'videos' must stand alone"),
    ],
)
def test_a_file_that_says_something_else_is_refused(content: Any, sentence: str, tmp_path: Path):
    with pytest.raises(DataError, match=sentence):
        read_starts(write(tmp_path / "start.json", content))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"there is no start file .*boxes\.json"):
        read_starts(tmp_path / "boxes.json")


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[0, 0, 81, 10]], r"boxes\.0: the box \[0, 0, 81, 10\] lies outside the frame of 80x40 pixels"),
        ([[1, 1, 2, 2], [-1, 0, 5, 5]], r"boxes\.1: the box .* lies outside"),
        ([[10, 10, 10, 20]], "must have x0 < x1 and y0 < y1"),
        ([[float("nan"), 0, 5, 5]], "must be finite numbers"),
        ([], "must name at least one thing"),
    ],
)
def test_boxes_that_are_not_in_the_frame_are_refused(boxes: list[list[float]], sentence: str):
    start = Start(boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4), source="boxes.json")
    with pytest.raises(DataError, match=sentence):
        given_start(start, SIZE)


def test_masks_of_another_size_are_refused():
    with pytest.raises(DataError, match="the masks are 80x40 pixels, but the video is 40x40"):
        given_start(Start(masks=labels()), (40, 40))
    with pytest.raises(DataError, match="one of boxes, points and masks, got none"):
        Start()
