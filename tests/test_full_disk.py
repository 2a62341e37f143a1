"""Full and read-only disks, real ones: one sentence, what was there stays, and with room again all goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_disk import fill, read_only, small_disk
from small_run import raw_config, write_squares

from slotkeeper.build import load_model
from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.cli import main
from slotkeeper.config import write_yaml

KB = 1024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos and a trained run, on a disk with room."""
    root = tmp_path_factory.mktemp("work")
    config = raw_config(write_squares(root / "videos", 3), sample_every=3, checkpoint_minutes=1e-9)
    (root / "run.yaml").write_text(write_yaml(config))
    assert main(["train", str(root / "run.yaml"), "--out", str(root / "run"), "--quiet"]) == 0
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


def files(disk: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in disk.rglob("*") if path.is_file() and path.name != "ballast"}


def stops(capsys: pytest.CaptureFixture[str], command: list[str], disk: Path) -> None:
    """The command exits with 2 and one sentence that names a place on the disk, hidden ones aside."""
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    (sentence,) = [line for line in said.splitlines() if line.startswith("slotkeeper: ")]  # beside progress bars
    assert sentence.startswith("slotkeeper: can't ")
    assert "Traceback" not in said
    assert str(disk) in sentence
    assert ".partial" not in sentence
    assert not list(disk.rglob(".partial-*"))


@pytest.mark.parametrize("room", [24 * KB, 200 * KB])
def test_a_training_keeps_its_last_checkpoint_and_goes_on(
    folder: Path, disk: Path, capsys: pytest.CaptureFixture[str], room: int
):
    ballast = fill(disk, leaving=room)
    command = ["train", str(folder / "run.yaml"), "--out", str(disk / "run"), "--quiet"]
    stops(capsys, command, disk)
    if list_checkpoints(disk / "run"):
        load_model(disk / "run")
    ballast.unlink()
    has_config = (disk / "run" / "config.yaml").exists()
    assert main(["resume", str(disk / "run"), "--quiet"] if has_config else command) == 0
    for name in ("model.safetensors", "training.safetensors"):
        mine, whole = (list_checkpoints(place / "run")[-1] / name for place in (disk, folder))
        assert mine.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("room", [8 * KB, 40 * KB])
def test_tracking_keeps_former_results(folder: Path, disk: Path, capsys: pytest.CaptureFixture[str], room: int):
    video = str(folder / "videos" / "000" / "video.mp4")
    command = ["track", video, "--model", str(folder / "run"), "--out", str(disk / "tracks"), "--quiet"]
    assert main(command) == 0
    former = files(disk)
    ballast = fill(disk, leaving=room)
    stops(capsys, command, disk)
    assert files(disk) == former
    ballast.unlink()
    assert main(command) == 0


@pytest.mark.parametrize("room", [0, 8 * KB])
def test_rendering_goes_on(disk: Path, capsys: pytest.CaptureFixture[str], room: int):
    ballast = fill(disk, leaving=room)
    sizes = ["--num-videos", "2", "--num-frames", "4", "--size", "32", "--workers", "0"]
    command = ["data", "render", "plain", "--out", str(disk / "scenes"), *sizes]
    stops(capsys, command, disk)
    ballast.unlink()
    assert main(command) == 0
    assert {path.name for path in (disk / "scenes").rglob("*.*")} == {"scenes.json", "video.mp4", "masks.npz"}


def test_nothing_is_written_where_nothing_can_be(folder: Path, disk: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", str(folder / "run.yaml"), "--out", str(disk / "run"), "--quiet"]) == 0
    render = ["data", "render", "plain", "--out", str(disk / "scenes"), "--num-videos", "1", "--workers", "0"]
    assert main(render) == 0
    former = files(disk)
    videos, video = str(folder / "videos"), str(folder / "videos" / "000" / "video.mp4")
    commands = [
        ["train", str(folder / "run.yaml"), "--out", str(disk / "other"), "--quiet"],
        ["resume", str(disk / "run"), "--quiet"],
        ["track", video, "--model", str(disk / "run"), "--out", str(disk), "--quiet"],
        ["evaluate", str(disk / "run"), videos, "--json", str(disk / "scores.json"), "--quiet"],
        ["score", videos, videos, "--json", str(disk / "scores.json")],
        ["data", "inspect", videos, "--sheet", str(disk / "sheet.png")],
        ["data", "render", "plain", "--out", str(disk / "more"), "--num-videos", "1"],
    ]
    with read_only(disk):
        for command in commands:
            stops(capsys, command, disk)
        assert main(render) == 0  # all is there already
        assert files(disk) == former
