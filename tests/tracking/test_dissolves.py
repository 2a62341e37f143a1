"""Gradual changes to another shot are found once, when it has taken over; what only looks like one is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slotkeeper.data.reader import VideoFrame
from slotkeeper.tracking import TrackingRules
from slotkeeper.tracking.cuts import CutDetector, mark_cuts

ALONE = 30


def landscape(seed: int, width: int = 64) -> np.ndarray:
    """A picture of smooth blobs, 64 high, in [0, 255]."""
    noise = np.random.default_rng(seed).normal(size=(64, width, 3))
    smooth = gaussian_filter(noise, (3, 3, 0), mode="wrap")
    return np.clip(128 + 50 * smooth / smooth.std(), 0, 255)


def course(length: int) -> np.ndarray:
    """Of a change that takes `length` frames, 0 before and 1 after it."""
    return np.clip((np.arange(2 * ALONE + length) - ALONE + 1) / (length + 1), 0, 1)[:, None, None, None]


def cuts_in(pixels: np.ndarray) -> list[int]:
    frames = [
        VideoFrame(pixels=frame, time=index / 25, index=index)
        for index, frame in enumerate(np.clip(np.round(pixels), 0, 255).astype(np.uint8))
    ]
    return [frame.index for frame, is_cut in mark_cuts(frames, TrackingRules()) if is_cut]


@pytest.mark.parametrize("length", [5, 8, 16, 30, 50])
def test_a_dissolve_is_told_once_when_it_is_nearly_over(length: int):
    share = course(length)
    [found] = cuts_in((1 - share) * landscape(1) + share * landscape(2))
    assert ALONE + length // 2 < found <= ALONE + length + 8


@pytest.mark.parametrize("length", [6, 16, 40])
@pytest.mark.parametrize("level", [0, 255])
def test_a_fade_through_black_or_white_is_told_once(length: int, level: int):
    share = course(length)
    old, new = np.maximum(1 - 2 * share, 0), np.maximum(2 * share - 1, 0)
    [found] = cuts_in(old * landscape(1) + new * landscape(2) + (1 - old - new) * level)
    assert ALONE + length // 2 <= found <= ALONE + length


@pytest.mark.parametrize("length", [6, 16, 40])
@pytest.mark.parametrize("least", [0.0, 0.3])
def test_light_that_fades_and_comes_back_is_none(length: int, least: float):
    share = course(length)
    assert cuts_in(landscape(1) * (least + (1 - least) * np.abs(1 - 2 * share))) == []


@pytest.mark.parametrize("length", [6, 16, 40])
def test_haze_that_comes_up_is_none(length: int):
    """The same picture, brighter and with less contrast."""
    share = course(length)
    assert cuts_in((1 - 0.6 * share) * landscape(1) + 0.6 * share * 230) == []


@pytest.mark.parametrize("length", [8, 16, 32, 50])
def test_a_pan_to_another_place_is_none(length: int):
    wide = np.concatenate((landscape(1), landscape(2)), axis=1)
    lefts = np.round(course(length).ravel() * 64).astype(int)
    assert cuts_in(np.stack([wide[:, left : left + 64] for left in lefts])) == []


@pytest.mark.parametrize("length", [8, 16, 32, 50])
def test_a_thing_that_comes_to_fill_the_picture_is_none(length: int):
    rows, columns = np.mgrid[:64, :64]
    is_thing = np.hypot(rows - 32, columns - 32) < course(length)[..., 0] * 46
    assert cuts_in(np.where(is_thing[..., None], landscape(2), landscape(1))) == []


def test_no_frame_is_held_back_in_a_dissolve():
    share, detector = course(16), CutDetector(TrackingRules())
    pixels = ((1 - share) * landscape(1) + share * landscape(2)).astype(np.uint8)
    for index, picture in enumerate(pixels):
        settled = list(detector.push(VideoFrame(pixels=picture, time=index / 25, index=index)))
        assert [frame.index for frame, _ in settled] == [index]
