"""Another number of slots than the model was trained with, and more objects than slots."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from color_model import BLUE, GREEN, GREY, RED, YELLOW, color_model, draw_squares, write_h264
from small_run import raw_config, write_squares

from slotkeeper.build import build_model, load_model
from slotkeeper.checkpoint import write_model
from slotkeeper.cli import main
from slotkeeper.config import parse_config
from slotkeeper.data.reader import VideoFrame
from slotkeeper.errors import ConfigError
from slotkeeper.loading import load
from slotkeeper.scenes.render import render_video
from slotkeeper.track_files import track_videos
from slotkeeper.tracking import Tracker, collect_tracks

RESIZABLE = ["gaussian", "preheated", "first_frame", "conditional"]


def model_folder(folder: Path, initializer: str) -> Path:
    raw = raw_config(folder / "videos")
    raw["model"]["initializer"] = {"name": initializer}
    config = parse_config(raw, "test")
    write_model(folder / initializer, build_model(config).state_dict(), config)
    return folder / initializer


@pytest.mark.parametrize("name", RESIZABLE)
@pytest.mark.parametrize("num_slots", [2, 9])
def test_a_model_has_as_many_slots_as_asked_for(name: str, num_slots: int, tmp_path: Path):
    folder = model_folder(tmp_path, name)
    own, resized = load_model(folder), load_model(folder, num_slots=num_slots)
    assert resized.config.model.num_slots == resized.model.num_slots == num_slots != own.model.num_slots
    frames = torch.rand(1, 3, 3, *own.config.data.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given, other = resized.model(frames), own.model(frames)
    assert given.decoded.masks.shape[2] == num_slots
    assert given.decoded.masks.sum(2).allclose(torch.ones(()), atol=1e-5)
    kept = min(num_slots, own.model.num_slots)
    if name != "preheated":  # whose slots look at one another
        assert given.trajectory.predicted[:, 0, :kept].allclose(other.trajectory.predicted[:, 0, :kept], atol=1e-6)
    weights, others = resized.model.state_dict(), own.model.state_dict()
    assert all(weights[key].equal(others[key]) for key in others if not key.startswith("initializer."))
    again = load_model(folder, num_slots=num_slots).model
    assert all(again.state_dict()[key].equal(weights[key]) for key in weights)


def test_slots_that_were_learned_one_by_one_cannot_be_more(tmp_path: Path):
    folder = model_folder(tmp_path, "learned")
    with pytest.raises(ConfigError, match=r"has 4 slots and can't have 9: its initializer 'learned' was trained"):
        load_model(folder, num_slots=9)
    assert load_model(folder, num_slots=4).model.num_slots == 4


def test_too_few_and_too_many_slots_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with pytest.raises(ConfigError, match="at least 2"):
        load_model("default", num_slots=1)
    with pytest.raises(ConfigError, match="slot pixels"):
        load_model("default", num_slots=10**6)
    video = write_h264(tmp_path / "video.mp4", draw_squares([(RED, 16, lambda t: (4, 4))], num_frames=3, size=(48, 64)))
    assert main(["track", str(video), "--out", str(tmp_path / "out"), "--num-slots", "5", "--cluster"]) == 2
    assert "--num-slots can't be given with --cluster" in capsys.readouterr().err


def test_the_default_model_finds_more_objects_with_more_slots():
    """Eight squares of different colours; four slots are one for the background and three objects."""
    colors = [RED, GREEN, BLUE, YELLOW, (230, 40, 220), (40, 220, 220), (240, 130, 20), (120, 40, 200)]
    squares = [
        (color, 18, lambda t, place=place: (10 + 30 * (place % 4), 24 + 48 * (place // 4)))
        for place, color in enumerate(colors)
    ]
    pixels = draw_squares(squares, num_frames=10, size=(128, 128), background=GREY)
    frames = [VideoFrame(pixels=frame, time=index / 25, index=index) for index, frame in enumerate(pixels)]
    few, many = (len(collect_tracks(load(num_slots=number).track_frames(frames))) for number in (4, 12))
    assert few <= 3
    assert many > few


def test_the_command_evaluates_with_another_number_of_slots(tmp_path: Path):
    videos = write_squares(tmp_path / "videos", 1)
    folder = model_folder(tmp_path, "gaussian")
    scores = tmp_path / "scores.json"
    assert main(["evaluate", str(folder), str(videos), "--num-slots", "6", "--json", str(scores), "--quiet"]) == 0
    assert json.loads(scores.read_text())["protocol"]["num_slots"] == 6


def test_more_objects_than_slots_break_nothing_and_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Four squares, three slots for objects."""
    colors = (RED, GREEN, BLUE, YELLOW)
    squares = [(color, 14, lambda t, place=place: (2 + 15 * place, 10 + t)) for place, color in enumerate(colors)]
    video = write_h264(tmp_path / "crowd.mp4", draw_squares(squares, num_frames=12, size=(48, 64)))
    roomy, tight = (
        color_model([[GREY], [RED], [GREEN], [BLUE], [YELLOW], [(0, 0, 0)]], 1),
        [[GREY], [RED], [GREEN], [BLUE, YELLOW]],
    )
    track_videos([video], Tracker(roomy, size=(48, 64)), tmp_path / "roomy", show_progress=False)
    assert "may be more objects" not in capsys.readouterr().err
    summary = track_videos(
        [video], Tracker(color_model(tight, 1), size=(48, 64)), tmp_path / "tight", show_progress=False
    )
    assert summary.tracked[0].num_objects == 3
    expected = "every slot for objects (up to 3) is in use in 12 of 12 frames, first in frame 0"
    assert expected in capsys.readouterr().err
    assert json.loads((tmp_path / "tight" / "crowd" / "tracks.json").read_text())["info"]["crowding"].startswith(
        expected
    )


def test_a_crowd_with_three_slots_is_tracked():
    video = render_video("crowd", seed=1, num_frames=6, size=64)
    frames = [VideoFrame(pixels=frame, time=index / 12, index=index) for index, frame in enumerate(video.frames)]
    tracked = list(load(num_slots=3).track_frames(frames))
    assert len(tracked) == 6
    assert all(len(frame.objects) <= 2 for frame in tracked)
    assert np.unique([frame.index for frame in tracked]).tolist() == list(range(6))
