"""Folders of rendered videos: whole or absent, the same however they were made."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from slotkeeper.data.reader import VideoReader
from slotkeeper.errors import ConfigError, DataError, OutputError
from slotkeeper.scenes import dataset
from slotkeeper.scenes.dataset import render_dataset
from slotkeeper.scenes.render import render_video

SETTINGS = {"family": "plain", "num_frames": 4, "size": 32, "show_progress": False}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def frames_of(path):
    with VideoReader(path) as reader:
        return np.stack([frame.pixels for frame in reader])


def assert_same_videos(one, two):
    """The same files; truth and record alike to the byte, pictures but for the encoder's rounding."""
    first, second = contents(one), contents(two)
    assert set(first) == set(second)
    for name in first:
        if name.endswith(".mp4"):
            difference = np.abs(frames_of(one / name).astype(int) - frames_of(two / name))
            assert difference.mean() < 1
        else:
            assert first[name] == second[name], name


def test_any_number_of_workers_writes_the_same_videos(tmp_path):
    truth = ("masks", "amodal", "depth", "flow")
    render_dataset(tmp_path / "one", num_videos=3, num_workers=1, truth=truth, **SETTINGS)
    render_dataset(tmp_path / "two", num_videos=3, num_workers=2, truth=truth, **SETTINGS)
    assert_same_videos(tmp_path / "one", tmp_path / "two")
    assert set(contents(tmp_path / "one")) == {"scenes.json"} | {
        f"{index:05d}/{name}" for index in range(3) for name in ("video.mp4", "masks.npz", "truth.npz")
    }


def test_files_hold_the_rendered_video_and_its_truth(tmp_path):
    render_dataset(tmp_path, num_videos=1, seed=5, num_workers=1, truth=("masks", "depth"), **SETTINGS)
    video = render_video("plain", seed=5, num_frames=4, size=32)
    frames = frames_of(tmp_path / "00000" / "video.mp4")
    assert frames.shape == video.frames.shape
    error = np.square(frames.astype(float) - video.frames).mean()
    assert 10 * np.log10(255**2 / error) > 27  # colour has half the resolution in yuv420p
    np.testing.assert_array_equal(np.load(tmp_path / "00000" / "masks.npz")["masks"], video.segments)
    with np.load(tmp_path / "00000" / "truth.npz") as truth:
        assert truth.files == ["depth"]
        np.testing.assert_array_equal(truth["depth"], video.depth)
    record = json.loads((tmp_path / "scenes.json").read_text())
    assert (record["family"]["name"], record["seed"], record["num_videos"]) == ("plain", 5, 1)


def test_an_interrupted_render_goes_on_where_it_stopped(tmp_path, monkeypatch):
    render_dataset(tmp_path / "whole", num_videos=4, num_workers=1, **SETTINGS)
    calls = []

    def interrupted(family, *, seed, **settings):
        calls.append(seed)
        if seed == 2:
            raise KeyboardInterrupt
        return render_video(family, seed=seed, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "render_video", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render_dataset(tmp_path / "cut", num_videos=4, num_workers=1, **SETTINGS)
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == ["00000", "00001", "scenes.json"]
    ended = subprocess.Popen(["true"])
    ended.wait()
    killed = tmp_path / "cut" / f".partial-{ended.pid}-00002"  # what kill -9 in the middle of a video leaves
    killed.mkdir()
    (killed / "video.mp4").write_bytes(b"half")
    kept = (tmp_path / "cut" / "00001" / "video.mp4").stat().st_mtime_ns
    render_dataset(tmp_path / "cut", num_videos=4, num_workers=1, **SETTINGS)
    assert_same_videos(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut" / "00001" / "video.mp4").stat().st_mtime_ns == kept


def test_a_failed_write_leaves_no_half_video(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        render_dataset(tmp_path, num_videos=1, num_workers=1, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["scenes.json"]


def test_a_folder_of_other_videos_is_not_mixed_with_new_ones(tmp_path):
    render_dataset(tmp_path, num_videos=1, num_workers=1, **SETTINGS)
    with pytest.raises(DataError, match="another seed"):
        render_dataset(tmp_path, num_videos=1, seed=9, num_workers=1, **SETTINGS)
    (tmp_path / "scenes.json").write_text("{")
    with pytest.raises(DataError, match=r"scenes\.json"):
        render_dataset(tmp_path, num_videos=1, num_workers=1, **SETTINGS)


def test_bad_settings_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="depht"):
        render_dataset(tmp_path / "new", num_videos=1, truth=("masks", "depht"), **SETTINGS)
    with pytest.raises(ConfigError, match="even"):
        render_dataset(tmp_path / "new", num_videos=1, **{**SETTINGS, "size": 33})
    with pytest.raises(ConfigError, match="num_frames"):
        render_dataset(tmp_path / "new", num_videos=1, **{**SETTINGS, "num_frames": 0})
    assert not (tmp_path / "new").exists()


def test_an_unwritable_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't write"):
        render_dataset(tmp_path / "file" / "videos", num_videos=1, num_workers=1, **SETTINGS)
