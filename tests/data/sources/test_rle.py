"""Run-length encoded masks: as pycocotools reads them, and bounded where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from public_sets import rle
from pycocotools import mask as coco_mask

from slotkeeper.data.sources.rle import decode_rle
from slotkeeper.errors import DataError


def masks() -> list[np.ndarray]:
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[:40, :56]
    disc = (rows - 20) ** 2 + (columns - 30) ** 2 < 150
    noise = [random.random((17, 9)) < share for share in (0.02, 0.5, 0.98)]
    return [disc, ~disc, np.zeros((5, 7), bool), np.ones((5, 7), bool), np.eye(1, dtype=bool), *noise]


@pytest.mark.parametrize("is_compressed", [True, False], ids=["compressed", "runs"])
@pytest.mark.parametrize("mask", masks(), ids=range(8))
def test_a_mask_comes_back_as_pycocotools_encoded_it(mask: np.ndarray, is_compressed: bool):
    height, width = mask.shape
    read = decode_rle(rle(mask, is_compressed=is_compressed), height=height, width=width)
    np.testing.assert_array_equal(read, mask)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools itself
def test_both_forms_agree_with_pycocotools():
    encoded = {"size": [9, 17], "counts": [20, 3, 6, 4, 120]}
    made = coco_mask.frPyObjects(encoded, 9, 17)
    np.testing.assert_array_equal(decode_rle(encoded, height=9, width=17), coco_mask.decode(made).astype(bool))


@pytest.mark.parametrize(
    ("encoded", "problem"),
    [
        ({"size": [31623, 31623], "counts": [10**9]}, "has the size"),
        ({"size": [4, 4], "counts": [10**9]}, "fit"),
        ({"size": [4, 4], "counts": [-1, 17]}, "fit"),
        ({"size": [4, 4], "counts": [True, 15]}, "fit"),
        ({"size": [4, 4], "counts": [8, 7]}, "fill"),
        ({"size": [4, 4], "counts": [0] * 18}, "list of runs"),
        ({"size": [4, 4], "counts": "oooooooooo0"}, "absurd"),
        ({"size": [4, 4], "counts": "ooo"}, "damaged"),
        ({"size": [4, 4], "counts": "é1"}, "fill|damaged"),
        ({"size": [4, 4], "counts": "\x00"}, "damaged"),
        ({"size": [4, 4], "counts": ""}, "fill"),
        ({"size": [4, 4], "counts": "oooo?"}, "fill"),
        ({"size": [4, 5], "counts": [16]}, "size"),
        ([[0, 0, 1, 1, 2, 0]], "polygons"),
        ({"size": [4, 4]}, "polygons"),
    ],
    ids=range(15),
)
def test_a_mask_that_lies_is_one_sentence(encoded: Any, problem: str):
    with pytest.raises(DataError, match=problem):
        decode_rle(encoded, height=4, width=4)


def test_a_video_that_claims_a_billion_pixels_is_refused():
    with pytest.raises(DataError, match="at most"):
        decode_rle({"size": [10**5, 10**4], "counts": [10**9]}, height=10**5, width=10**4)


def test_counts_of_more_letters_than_a_picture_can_have_runs_are_refused():
    with pytest.raises(DataError, match="letters"):
        decode_rle({"size": [4, 4], "counts": "0" * 120}, height=4, width=4)


def test_random_letters_never_end_in_another_error():
    random = np.random.default_rng(1)
    for _ in range(500):
        text = "".join(chr(letter) for letter in random.integers(40, 120, size=random.integers(1, 12)))
        try:
            decode_rle({"size": [6, 5], "counts": text}, height=6, width=5)
        except DataError:
            continue
