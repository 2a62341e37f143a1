"""Long videos: objects that stay away, and times beyond an hour."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from color_model import BLUE, GREY, RED, color_model, draw_squares

from slotkeeper.data.reader import VideoFrame, VideoReader
from slotkeeper.track_files import track_videos
from slotkeeper.tracking import Tracker, TrackingRules, collect_tracks

SIZE = (24, 32)
SECONDS = [0, 1800, 3599, 3601, 7200, 7201]


def tracker() -> Tracker:
    return Tracker(color_model([[GREY], [RED], [BLUE]], 1), size=SIZE)


@pytest.mark.parametrize(("absence", "num_ids"), [(250, 1), (251, 2)])
def test_an_object_that_stays_away_too_long_comes_back_as_another(absence: int, num_ids: int):
    assert TrackingRules().max_hidden_frames == 250
    red = (RED, 8, lambda t: None if 5 <= t < 5 + absence else (4, 4))
    pixels = draw_squares([red, (BLUE, 8, lambda t: (20, 12))], num_frames=absence + 10, size=SIZE)
    frames = (VideoFrame(pixels=frame, time=index / 25, index=index) for index, frame in enumerate(pixels))
    tracks = [track for track in collect_tracks(tracker().track_frames(frames)) if track.slot == 1]
    assert len(tracks) == num_ids
    assert tracks[-1].frames[-1] == absence + 9


def write_slow_video(path: Path) -> Path:
    pixels = draw_squares([(RED, 8, lambda t: (2 + 2 * t, 4))], num_frames=len(SECONDS), size=SIZE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1), options={"g": "1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, second in zip(pixels, SECONDS, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 1000 * second, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_times_and_seeking_hold_beyond_an_hour(tmp_path: Path):
    video = write_slow_video(tmp_path / "slow.mkv")
    reader = VideoReader(video)
    whole = list(reader)
    assert [frame.time for frame in whole] == pytest.approx(SECONDS, abs=0.01)
    for index in (5, 3):
        (sought,) = VideoReader(video).read([index])
        assert sought.time == pytest.approx(SECONDS[index], abs=0.01)
        assert np.array_equal(sought.pixels, whole[index].pixels)
    track_videos([video], tracker(), tmp_path / "out", show_progress=False)
    rows = list(csv.DictReader((tmp_path / "out" / "slow" / "tracks.csv").read_text().splitlines()))
    assert [float(row["time"]) for row in rows] == pytest.approx(SECONDS, abs=0.01)
