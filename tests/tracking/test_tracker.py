"""Objects keep their ids through occlusion, are born and end when they should, at the source's size."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from color_model import BLUE, GREEN, GREY, RED, WHITE, YELLOW, color_model, draw_squares, write_h264

from slotkeeper.data.reader import VideoFrame
from slotkeeper.errors import CheckpointError, ConfigError, VideoError
from slotkeeper.tracking import TrackedFrame, Tracker, TrackingRules, collect_tracks

PALETTE = [[GREY], [RED], [GREEN], [BLUE], [WHITE]]


def tracker(**settings) -> Tracker:
    settings = {"size": (48, 64)} | settings
    return Tracker(color_model(settings.pop("palette", PALETTE), settings.pop("num_background", 0)), **settings)


def frames_of(pixels: np.ndarray) -> list[VideoFrame]:
    return [VideoFrame(pixels=frame, time=index / 25, index=index) for index, frame in enumerate(pixels)]


def ids_of_frames(frames: list[TrackedFrame]) -> list[set[int]]:
    return [{tracked.id for tracked in frame.objects} for frame in frames]


def crossing(num_frames: int = 24) -> np.ndarray:
    """A red square passes wholly behind a larger blue one that stands still."""
    return draw_squares(
        [(RED, 16, lambda t: (2 + 4 * t, 40)), (BLUE, 36, lambda t: (44, 30))], num_frames=num_frames, size=(96, 128)
    )


def test_an_object_keeps_its_id_through_full_occlusion(tmp_path: Path):
    path = write_h264(tmp_path / "crossing.mp4", crossing())
    frames = list(tracker().track(path))
    tracks = collect_tracks(frames)
    assert [track.track_id for track in tracks] == [1, 2]
    red = next(track for track in tracks if track.slot == 1)
    hidden = set(range(24)) - set(red.frames.tolist())
    assert hidden >= {12, 13, 14}
    assert red.frames[0] == 0
    assert red.frames[-1] == 23


def test_segments_masks_boxes_and_areas_agree_with_the_picture():
    frames = list(tracker().track_frames(frames_of(crossing(4))))
    for frame in frames:
        assert frame.segments.shape == (96, 128)
        red = next(tracked for tracked in frame.objects if tracked.slot == 1)
        left = 2 + 4 * frame.index
        assert np.abs(np.array(red.box) - np.array((left, 40, left + 16, 56))).max() <= 1
        assert np.array_equal(frame.segments == red.id, red.mask)
        assert red.area == red.mask.sum() == pytest.approx(256, rel=0.1)
        assert red.confidence > 0.8


def test_a_different_object_in_the_same_slot_gets_a_new_id():
    squares = [(RED, 20, lambda t: (20, 20) if t < 8 else None), (GREEN, 20, lambda t: (70, 50) if t >= 14 else None)]
    pixels = draw_squares(squares, num_frames=22, size=(96, 128))
    one_slot_for_both = [[GREY], [RED, GREEN]]
    frames = list(tracker(palette=one_slot_for_both).track_frames(frames_of(pixels)))
    assert [(track.track_id, track.slot) for track in collect_tracks(frames)] == [(1, 1), (2, 1)]
    assert ids_of_frames(frames) == [{1}] * 8 + [set()] * 6 + [{2}] * 8


def test_the_same_object_comes_back_under_its_id_only_within_the_longest_absence():
    pixels = draw_squares([(RED, 20, lambda t: None if 6 <= t < 16 else (20, 20))], num_frames=22, size=(96, 128))
    patient, forgetful = TrackingRules(max_hidden_frames=10), TrackingRules(max_hidden_frames=9)
    assert len(collect_tracks(tracker(rules=patient).track_frames(frames_of(pixels)))) == 1
    assert len(collect_tracks(tracker(rules=forgetful).track_frames(frames_of(pixels)))) == 2


def test_a_flash_is_no_object_and_a_believed_one_is_reported_from_its_first_frame():
    squares = [(RED, 20, lambda t: (20, 20) if t == 5 else None), (BLUE, 20, lambda t: (60, 50) if t >= 7 else None)]
    pixels = draw_squares(squares, num_frames=12, size=(96, 128))
    frames = list(tracker(rules=TrackingRules(birth_frames=3)).track_frames(frames_of(pixels)))
    assert ids_of_frames(frames) == [set()] * 7 + [{1}] * 5


def test_area_has_a_hysteresis():
    """Sides 12, 5, 12: the small square stays, though it would be too small to be born."""
    pixels = np.concatenate(
        [draw_squares([(RED, side, lambda t: (20, 20))], num_frames=4, size=(96, 128)) for side in (12, 5, 12)]
    )
    rules = TrackingRules(birth_area=0.006, keep_area=0.0005)
    frames = list(tracker(size=(96, 128), rules=rules).track_frames(frames_of(pixels)))
    assert ids_of_frames(frames) == [{1}] * 12
    late = list(tracker(size=(96, 128), rules=rules).track_frames(frames_of(pixels[4:])))
    assert ids_of_frames(late) == [set()] * 4 + [{1}] * 4


def test_the_background_is_recognised_without_being_named():
    frames = list(tracker().track_frames(frames_of(crossing(10))))
    assert all(frame.is_background.tolist() == [True, False, False, False, False] for frame in frames)


def test_a_model_that_names_its_background_slots_is_believed():
    frames = list(tracker(num_background=2).track_frames(frames_of(crossing(6))))
    assert all(frame.is_background.tolist() == [True, True, False, False, False] for frame in frames)
    assert {tracked.slot for frame in frames for tracked in frame.objects} == {3}


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_results_do_not_depend_on_the_chunk(chunk: int):
    expected = list(tracker(chunk=16).track_frames(frames_of(crossing())))
    given = list(tracker(chunk=chunk).track_frames(frames_of(crossing())))
    assert len(given) == len(expected) == 24
    for one, other in zip(given, expected, strict=True):
        assert np.array_equal(one.segments, other.segments)
        assert ids_of_frames([one]) == ids_of_frames([other])


def test_each_video_counts_its_own_ids():
    shared = tracker()
    first, second = shared.track_frames(frames_of(crossing(6))), shared.track_frames(frames_of(crossing(6)))
    for one, other in zip(first, second, strict=True):
        assert ids_of_frames([one]) == ids_of_frames([other]) == [{1, 2}]


@pytest.mark.parametrize("size", [(57, 91), (160, 90), (33, 200)])
def test_odd_vertical_and_wide_videos_keep_their_size(size: tuple[int, int], tmp_path: Path):
    pixels = draw_squares([(RED, 24, lambda t: (4 + t, 5))], num_frames=5, size=size)
    frames = list(tracker().track(write_h264(tmp_path / "video.mp4", pixels)))
    assert len(frames) == 5
    for frame in frames:
        assert frame.segments.shape == frame.pixels.shape[:2] == size
        (red,) = frame.objects
        assert np.abs(np.array(red.box) - np.array((4 + frame.index, 5, 28 + frame.index, 29))).max() <= 2


@pytest.mark.parametrize("fit", ["aspect", "stretch"])
def test_both_fits_find_the_same_object(fit: str):
    pixels = draw_squares([(RED, 24, lambda t: (80, 10))], num_frames=3, size=(60, 160))
    frames = list(tracker(fit=fit, size=(64, 64)).track_frames(frames_of(pixels)))
    assert frames[0].slot_pictures.shape[1:3] == ((40, 104) if fit == "aspect" else (64, 64))
    assert np.abs(np.array(frames[0].objects[0].box) - np.array((80, 10, 104, 34))).max() <= 2


def test_a_video_of_one_frame_has_its_objects():
    (frame,) = tracker().track_frames(frames_of(crossing(1)))
    assert [tracked.id for tracked in frame.objects] == [1, 2]


def test_a_truncated_video_gives_its_frames_before_the_error(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 60, (60, 96, 128, 3), dtype=np.uint8)
    whole = write_h264(tmp_path / "whole.mkv", np.maximum(crossing(60), noise))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    seen = []
    with pytest.raises(VideoError, match=r"cut\.mkv"):
        seen.extend(tracker().track(cut))
    assert 5 < len(seen) < 60


def test_damaged_weights_are_an_error_and_not_a_result():
    damaged = tracker()
    damaged.model.decoder.palette.slot_1.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="frame 0"):
        list(damaged.track_frames(frames_of(crossing(2))))


def test_settings_out_of_range_name_themselves():
    with pytest.raises(ConfigError, match="birth_area"):
        TrackingRules(birth_area=1.5)
    with pytest.raises(ConfigError, match="keep_area"):
        TrackingRules(keep_area=0.5)
    with pytest.raises(ConfigError, match="chunk"):
        tracker(chunk=0)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            tracker(device="cuda")


def test_memory_does_not_grow_with_the_video():
    def peak(num_frames: int) -> int:
        still = crossing(1)[0]
        source = (VideoFrame(pixels=still.copy(), time=float(t), index=t) for t in range(num_frames))
        tracemalloc.start()
        for _ in tracker(chunk=4).track_frames(source):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)
    assert peak(700) < peak(70) * 1.05, "65 frames are remembered for dissolves, and no more"


def test_a_slot_that_barely_wins_is_no_object():
    """Yellow lies between red and green in colour, so no slot is sure of it."""
    pixels = draw_squares([(YELLOW, 30, lambda t: (40, 30))], num_frames=4, size=(96, 128))
    unsure = [[GREY], [(225, 215, 40)], [(235, 205, 40)]]
    frames = list(tracker(palette=unsure).track_frames(frames_of(pixels)))
    assert ids_of_frames(frames) == [set()] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_objects():
    on_cpu = list(tracker().track_frames(frames_of(crossing())))
    on_gpu = list(tracker(device="cuda").track_frames(frames_of(crossing())))
    assert ids_of_frames(on_gpu) == ids_of_frames(on_cpu)
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert (one.segments != other.segments).mean() < 1e-3
