"""Evaluation against videos whose every pixel is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from color_model import BLUE, GREEN, GREY, RED, color_model
from small_run import LENGTH, SIDE, write_squares

from slotkeeper.data import SkippedVideo, find_videos
from slotkeeper.errors import CheckpointError, DataError
from slotkeeper.evaluation import evaluate, segments_of_slots

SIZE = (SIDE, SIDE)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 3)


@pytest.mark.parametrize("num_background", [0, 1])
def test_a_model_that_sees_exactly_scores_one(videos: Path, num_background: int):
    model = color_model([[GREY], [RED], [BLUE]], num_background)
    evaluation = evaluate(model, find_videos(videos), size=SIZE, seeds=(5,))
    scores = evaluation.scores
    for name in ("video_ari", "video_fg_ari", "frame_fg_ari", "video_miou", "video_mbo", "hota", "slot_permanence"):
        assert getattr(scores, name) == pytest.approx(1.0), name
    assert (scores.id_switches, scores.swap_rate) == (0, 0)
    assert scores.psnr > 20
    assert (scores.protocol.seeds, scores.protocol.clip_length) == ((5,), LENGTH)
    assert scores.protocol.conditioning == "none"
    assert scores.protocol.mask_resolution == "32x32"
    assert evaluation.health.mask_swap_rate == 0
    assert (evaluation.health.background_precision, evaluation.health.background_recall) == (1, 1)


def test_the_protocol_says_which_masks_are_scored(videos: Path):
    model = color_model([[GREY], [RED], [BLUE]], 1)
    assert evaluate(model, find_videos(videos), size=SIZE).scores.protocol.resize.startswith("soft masks bilinearly")
    model.posterior_sigma = 0.2
    resize = evaluate(model, find_videos(videos), size=SIZE).scores.protocol.resize
    assert resize.startswith("responsibilities for seen pixels (posterior_sigma 0.2) bilinearly")


def test_objects_held_by_one_slot_are_one_segment(videos: Path):
    scores = evaluate(color_model([[GREY], [RED, BLUE], [GREEN]], 1), find_videos(videos), size=SIZE).scores
    assert scores.video_fg_ari == pytest.approx(0.0, abs=1e-9)
    assert scores.video_miou == pytest.approx(0.25)  # two equal squares: one has IoU 1/2 with the union, one has none


def test_the_truth_keeps_its_size(videos: Path):
    half = evaluate(color_model([[GREY], [RED], [BLUE]], 1), find_videos(videos), size=(SIDE // 2, SIDE // 2)).scores
    assert half.protocol.mask_resolution == "32x32"
    assert "16x16" in half.protocol.resize
    assert 0.6 < half.video_miou < 1


def test_fewer_frames_and_longer_videos_than_a_chunk(videos: Path, monkeypatch: pytest.MonkeyPatch):
    model = color_model([[GREY], [RED], [BLUE]], 1)
    first = evaluate(model, find_videos(videos), size=SIZE, num_frames=3).scores
    assert (first.counts.frames, first.protocol.clip_length) == (9, 3)
    whole = evaluate(model, find_videos(videos), size=SIZE).as_json()
    monkeypatch.setattr("slotkeeper.tracking.frame_size._CHUNK", 3)
    chunked = evaluate(model, find_videos(videos), size=SIZE).as_json()
    for result in (whole, chunked):
        del result["frames_per_second_evaluation"]
    assert whole == chunked


def test_background_frames_of_a_slot_become_zero():
    slots = np.array([[[0, 1, 2]], [[0, 1, 2]]])
    is_background = np.array([[True, False, False], [True, True, False]])
    assert segments_of_slots(slots, is_background).tolist() == [[[0, 2, 3]], [[0, 0, 3]]]


def test_videos_that_cannot_be_scored_are_named(tmp_path: Path):
    write_squares(tmp_path, 3)
    (tmp_path / "000" / "masks.npz").unlink()
    np.savez_compressed(tmp_path / "001" / "masks.npz", masks=np.zeros((LENGTH, 5, 5), dtype=np.uint8))
    model = color_model([[GREY], [RED], [BLUE]], 1)
    scores = evaluate(model, find_videos(tmp_path), size=SIZE).scores
    assert {video.name for video in scores.skipped if video.is_input_missing} == {"000", "001"}
    assert scores.counts.videos == 1
    (tmp_path / "001" / "masks.npz").unlink()
    (tmp_path / "002" / "masks.npz").unlink()
    with pytest.raises(DataError, match="needs true masks, but none of 3 videos has any"):
        evaluate(model, find_videos(tmp_path), size=SIZE)


def test_masks_that_hold_no_objects_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_squares(tmp_path, 2)
    noise = np.random.default_rng(0).integers(0, 256, (LENGTH, SIDE, SIDE), dtype=np.uint8)
    np.savez_compressed(tmp_path / "001" / "masks.npz", masks=noise)
    monkeypatch.setattr("slotkeeper.metrics.contingency._MAX_CELLS", 1000)
    model = color_model([[GREY], [RED], [BLUE]], 1)
    skipped: list[SkippedVideo] = []
    scores = evaluate(model, find_videos(tmp_path), size=SIZE, skipped=skipped).scores
    assert scores.counts.videos == 1
    (video,) = skipped
    assert video.reason.startswith(f"{tmp_path / '001' / 'masks.npz'}: expected segments of objects, got 256 true")
    with pytest.raises(DataError, match=r"^[^;]*: expected segments of objects"):
        evaluate(model, find_videos(tmp_path / "001"), size=SIZE)


def test_damaged_weights_are_noticed(videos: Path):
    model = color_model([[GREY], [RED], [BLUE]], 1)
    for colors in model.buffers():
        colors.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite numbers"):
        evaluate(model, find_videos(videos), size=SIZE)
