"""Videos and names that are no good, by the command line: one sentence that names the file, and exit code 2."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_run import raw_config, write_squares

from slotkeeper.cli import main
from slotkeeper.config import write_yaml
from slotkeeper.data.segments import save_segments
from slotkeeper.data.writer import VideoWriter


def write_video(path: Path, num_frames: int, size: int = 32) -> Path:
    with VideoWriter(path, fps=Fraction(12), width=size, height=size) as writer:
        for index in range(num_frames):
            writer.write(np.full((size, size, 3), 10 * index % 255, np.uint8))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    (root / "run.yaml").write_text(write_yaml(raw_config(write_squares(root / "videos", 4))))
    assert main(["train", str(root / "run.yaml"), "--out", str(root / "run"), "--quiet"]) == 0
    return root / "run"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("slotkeeper: ")
    return sentence


@pytest.mark.parametrize("content", [b"", b"this is no video at all"])
def test_zero_length_and_not_a_video(content: bytes, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = tmp_path / "broken.mp4"
    video.write_bytes(content)
    assert "broken.mp4" in refused(capsys, "track", video, "--model", run, "--out", tmp_path / "tracks")
    assert not list((tmp_path / "tracks").glob("*/overlay.mp4"))


def test_missing_path(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "nowhere.mp4" in refused(capsys, "track", tmp_path / "nowhere.mp4", "--model", run, "--out", tmp_path / "o")


def test_a_truncated_video_is_tracked_as_far_as_it_goes_and_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    video = write_video(tmp_path / "cut.mp4", 60)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    assert main(["track", str(video), "--model", str(run), "--out", str(tmp_path / "tracks")]) == 3
    assert "cut.mp4" in capsys.readouterr().err
    assert (tmp_path / "tracks" / "skipped.json").exists()


def test_a_video_of_one_frame_is_tracked(run: Path, tmp_path: Path):
    video = write_video(tmp_path / "still.mp4", 1)
    assert main(["track", str(video), "--model", str(run), "--out", str(tmp_path / "tracks")]) == 0
    assert np.load(tmp_path / "tracks" / "still" / "masks.npz")["masks"].shape == (1, 32, 32)


def test_training_on_videos_of_one_frame_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "videos").mkdir()
    for name in "abcd":
        write_video(tmp_path / "videos" / f"{name}.mp4", 1)
    (tmp_path / "run.yaml").write_text(write_yaml(raw_config(tmp_path / "videos")))
    assert "frame" in refused(capsys, "train", tmp_path / "run.yaml", "--out", tmp_path / "run", "--quiet")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [(5, 32, 32), (6, 16, 32)])
def test_masks_that_do_not_match_their_video(
    shape: tuple[int, int, int], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 6)
    save_segments(tmp_path / "videos" / "a.masks.npz", np.zeros(shape, np.uint8))
    assert "a.masks.npz" in refused(capsys, "evaluate", run, tmp_path / "videos")


def test_a_name_too_long_for_the_file_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    refused(capsys, "evaluate", "m" * 400, tmp_path)


def test_a_seed_beyond_the_generators(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = run.parent / "run.yaml"
    assert "seed" in refused(capsys, "train", config, "--set", f"seed={2**32}", "--out", tmp_path / "run", "--quiet")
    assert not (tmp_path / "run").exists()


def test_an_empty_path_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = write_video(tmp_path / "a.mp4", 3)
    assert "must be a path, got an empty text" in refused(capsys, "track", "", "--out", tmp_path / "out")
    assert "--out: must be a path" in refused(capsys, "track", video, "--out", "")


def test_numbers_no_scene_can_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for option, number in (("--size", 100_000), ("--seed", 10**22)):
        assert "must be at most" in refused(capsys, "data", "render", "plain", "--out", tmp_path / "s", option, number)
    assert not (tmp_path / "s").exists()


def test_masks_without_a_partner_are_named_even_by_a_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for side, names in (("predicted", "bc"), ("true", "b")):
        for name in names:
            (tmp_path / side / name).mkdir(parents=True)
            save_segments(tmp_path / side / name / "masks.npz", np.eye(8, dtype=np.uint8)[None])
    assert main(["score", str(tmp_path / "predicted"), str(tmp_path / "true")]) == 3
    assert "skipped: c: " in capsys.readouterr().err
