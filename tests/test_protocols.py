"""Published protocols: what they ask for is done, and what is done otherwise is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from color_model import BLUE, GREEN, GREY, RED, color_model, draw_squares, write_h264
from small_run import LENGTH, SIDE, write_squares

from slotkeeper.cli import main
from slotkeeper.data import find_videos
from slotkeeper.errors import ConfigError, DataError
from slotkeeper.evaluation import evaluate
from slotkeeper.metrics.protocols import PROTOCOLS, find_protocol
from slotkeeper.published import clips_of
from slotkeeper.scoring import SCORE_NAMES
from slotkeeper.types import Clip

ROOT = Path(__file__).parents[1]
PALETTE = [[GREY], [RED], [BLUE]]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 2)


def clip_of(size: tuple[int, int], num_frames: int) -> Clip:
    rows, columns = np.mgrid[: size[0], : size[1]]
    segments = torch.from_numpy(1 + 2 * (rows >= size[0] // 2) + (columns >= size[1] // 2)).int()
    return Clip(
        frames=torch.rand(1, num_frames, 3, 8, 8),
        times=torch.arange(num_frames).float()[None],
        segments=segments.expand(1, num_frames, -1, -1),
        video_ids=("video",),
    )


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_protocol_is_whole(protocol):
    data, _, system = protocol.name.partition(".")
    assert data
    assert system
    assert {ours for _, ours in protocol.figures} <= set(SCORE_NAMES)
    assert protocol.num_frames is None or protocol.clip_frames is None


def test_the_page_of_benchmarks_names_every_protocol_and_no_other():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:movi_[a-f]|ytvis\d*|davis\d*)\.[a-z+_]+)`", text))
    assert named == set(PROTOCOLS)


def test_the_middle_square_of_the_truth_is_scored_at_the_size_of_the_protocol():
    """Of a picture twice as wide as high, each quarter keeps a quarter of the middle."""
    named = find_protocol("ytvis.randsfq")
    (clip,) = clips_of(clip_of((40, 80), 2), named)
    assert tuple(clip.segments.shape[-2:]) == (256, 256)
    assert torch.bincount(clip.segments[0, 0].flatten()).tolist() == [0, *[256 * 256 // 4] * 4]


def test_clips_are_cut_and_what_is_left_over_is_dropped():
    named = find_protocol("movi_e.steve")
    clips = clips_of(clip_of((16, 16), 15), named)
    assert [clip.times[0, 0].item() for clip in clips] == [0, 6]
    assert {clip.frames.shape[1] for clip in clips} == {clip.segments.shape[1] for clip in clips} == {6}
    with pytest.raises(DataError, match=r"has 5 frames, and movi_e\.steve scores clips of 6"):
        clips_of(clip_of((16, 16), 5), named)


def test_an_identity_that_changes_between_clips_costs_nothing(tmp_path: Path):
    """The slots of red and green change places in frame 6: a whole video's score sees it, clips of six don't."""
    first, second = (
        draw_squares([(RED, 10, lambda t: (4, 4)), (BLUE, 10, lambda t: (20, 18))], num_frames=6, size=(SIDE, SIDE)),
        draw_squares([(BLUE, 10, lambda t: (4, 4)), (RED, 10, lambda t: (20, 18))], num_frames=6, size=(SIDE, SIDE)),
    )
    truth = np.zeros((12, SIDE, SIDE), np.uint8)
    truth[:, 4:14, 4:14], truth[:, 18:28, 20:30] = 1, 2
    (tmp_path / "one").mkdir()
    write_h264(tmp_path / "one" / "video.mp4", np.concatenate((first, second)))
    np.savez(tmp_path / "one" / "masks.npz", masks=truth)
    model, items = color_model(PALETTE, 1), find_videos(tmp_path)
    clips = find_protocol("movi_e.steve")
    in_clips, whole = (
        evaluate(model, items, size=(SIDE, SIDE), named=named).scores
        for named in (clips, replace(clips, clip_frames=None))
    )
    assert in_clips.video_fg_ari == pytest.approx(1.0, abs=0.02)
    assert whole.video_fg_ari < 0.1
    assert (in_clips.protocol.clip_length, whole.protocol.clip_length) == (6, 12)
    assert in_clips.protocol.mask_resolution == "128x128"


def test_what_departs_from_a_protocol_is_named(videos: Path):
    model = color_model(PALETTE, 1)
    protocol = evaluate(
        model, find_videos(videos), size=(SIDE, SIDE), named=find_protocol("movi_a.savi")
    ).scores.protocol
    assert protocol.departures == (
        "slots 3, 24 there",
        "frames for the model of 32x32, 64x64 there",
        f"frames scored at a time: {LENGTH}, 24 there",
        "conditioning none, boxes of the true objects in the first frame there",
    )
    same = replace(
        find_protocol("movi_c.videosaur"), num_slots=3, num_videos=2, frame_size=(SIDE, SIDE), mask_size=(SIDE, SIDE)
    )
    scores = evaluate(model, find_videos(videos), size=(SIDE, SIDE), named=same).scores
    assert scores.protocol.departures == ()
    assert scores.protocol.resize.endswith(
        "frames resized to 32x32 (stretched) for the model; truth brought to 32x32 alike, by nearest labels"
    )
    square = evaluate(model, find_videos(videos), size=(SIDE, SIDE), named=replace(same, fit="center_crop")).scores
    assert "their middle, cut to that shape" in square.protocol.resize
    assert scores.video_fg_ari == pytest.approx(1.0)


def test_background_slots_are_segments_like_any_other(videos: Path):
    """Two slots of background: without a protocol they are one background, with one they are false detections."""
    model = color_model([[GREY], [GREEN], [RED], [BLUE]], 2)
    plain = evaluate(model, find_videos(videos), size=(SIDE, SIDE)).scores
    named = evaluate(model, find_videos(videos), size=(SIDE, SIDE), named=find_protocol("movi_c.videosaur")).scores
    assert "predicted 0 is a segment like any other" in named.protocol.background
    assert named.hota < plain.hota


def test_the_command_writes_the_protocol_with_all_its_settings(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    scores = tmp_path / "scores.json"
    command = ["evaluate", "default", str(videos), "--json", str(scores), "--quiet"]
    assert main([*command, "--protocol", "movi_d.steve"]) == 0
    assert "movi_d.steve: singhgautam/steve" in capsys.readouterr().out
    protocol = json.loads(scores.read_text())["protocol"]
    assert protocol["named"]["mask_size"] == [128, 128]
    assert any("slots" in departure for departure in protocol["departures"])
    assert main([*command, "--protocol", "movi_d.stive"]) == 2
    assert "did you mean 'movi_d.steve'" in capsys.readouterr().err
    assert main([*command, "--protocol", "movi_d.steve", "--num-frames", "3"]) == 2
    assert main(["protocols"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(PROTOCOLS)


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(ConfigError, match=r"there is no protocol 'movi_c\.slot_contrast'"):
        find_protocol("movi_c.slot_contrast")
