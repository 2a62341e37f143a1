"""The command line as scripts use it: outputs, exit codes, one sentence for what a user can put right."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import odd_losses
import pytest
import torch
from small_run import raw_config, write_squares

from slotkeeper.cli import demo, main
from slotkeeper.config import write_yaml


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that name no place for their results don't write into the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, a config, and a run trained on them by the command line."""
    root = tmp_path_factory.mktemp("work")
    videos = write_squares(root / "videos", 4)
    (root / "run.yaml").write_text(write_yaml(raw_config(videos)))
    assert main(["train", str(root / "run.yaml"), "--out", str(root / "run"), "--quiet"]) == 0
    return root


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must exit with 2 and one sentence on stderr; gives the sentence."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.err.startswith("slotkeeper: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from slotkeeper.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'numpy', 'av', 'mujoco', 'jsonargparse', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "train" in result.stdout


def test_what_a_command_refuses_by_its_arguments_does_not_wait_for_pytorch():
    """Of several processes each must also say how much PyTorch is to tell before it is loaded."""
    code = (
        "import os, sys\n"
        "from slotkeeper.cli import main\n"
        "from slotkeeper.cli.train import quieten_libraries\n"
        "assert main(['track', '--out', 'tracks']) == 2\n"
        "quieten_libraries()\n"
        "assert os.environ['TORCH_CPP_LOG_LEVEL'] == 'ERROR'\n"
        "assert 'torch' not in sys.modules\n"
    )
    place = {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "29400"}
    variables = {name: value for name, value in os.environ.items() if name != "TORCH_CPP_LOG_LEVEL"} | place
    result = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"slotkeeper \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_train_takes_settings_and_says_where_the_run_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = ["--set", "training.steps=2", "seed=9", "--set", "training.lr=1e-4"]
    assert main(["train", str(folder / "run.yaml"), *settings, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^trained 2 steps in \d+ s; ", told)
    assert f"the run is in {tmp_path / 'run'}" in told
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 2
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 0


def test_training_on_one_video_says_that_none_is_held_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    video = folder / "videos" / "000" / "video.mp4"
    settings = ["--set", f"data.train={video}", "data.val_share=0.1", "training.steps=1"]
    assert main(["train", str(folder / "run.yaml"), *settings, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    note = f"no video of {video} is held out, since there is only one; so there are no scores\n"
    assert capsys.readouterr().out.endswith(note)


@pytest.mark.parametrize("has_masks", [True, False])
def test_a_broken_held_out_video_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], has_masks: bool
):
    held_out = write_squares(tmp_path / "val", 1, has_masks=has_masks)
    (held_out / "empty.avi").touch()
    if has_masks:
        np.savez(held_out / "empty.masks.npz", masks=np.zeros((8, 32, 32), np.uint8))
    run, settings = tmp_path / "run", ["--set", f"data.val={held_out}", "training.steps=1", "training.sample_every=1"]
    assert main(["train", str(folder / "run.yaml"), *settings, "--out", str(run), "--quiet"]) == 3
    said = capsys.readouterr()
    assert ("on 1 held-out video;" in said.out) == has_masks
    assert re.fullmatch(r"skipped: \S+empty\.avi is empty .*\n", said.err)
    (entry,) = json.loads((run / "skipped.json").read_text())
    assert entry["input"] == str(held_out / "empty.avi")
    (held_out / "empty.avi").unlink()
    assert main(["resume", str(run), "--quiet"]) == 0
    assert not (run / "skipped.json").exists()


def test_ctrl_c_leaves_a_checkpoint_and_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    odd_losses.Interrupting.is_armed = True
    settings = ["losses=[{name: 'odd_losses:Interrupting'}]", "training.steps=4"]
    command = ["train", folder / "run.yaml", "--out", tmp_path / "run", "--quiet", "--set", *settings]
    assert "stopped by Ctrl-C at step 3; saved in" in fails(capsys, *command)
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 4


def test_evaluate_prints_and_writes_scores_with_their_protocol(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    target = tmp_path / "scores.json"
    command = ["evaluate", str(folder / "run"), str(folder / "videos"), "--json", str(target), "--quiet"]
    assert main(command) == 0
    scores = json.loads(target.read_text())
    assert "video_fg_ari" in capsys.readouterr().out
    assert -1 <= scores["video_fg_ari"] <= 1
    assert scores["counts"]["videos"] == 4
    assert scores["protocol"]["seeds"] == [3]
    assert main([*command, "--num-frames", "2"]) == 0
    assert json.loads(target.read_text())["protocol"]["clip_length"] == 2
    (folder / "videos" / "000" / "masks.npz").rename(folder / "masks.npz")
    try:
        assert main(command) == 3
        assert "000" in capsys.readouterr().err
    finally:
        (folder / "masks.npz").rename(folder / "videos" / "000" / "masks.npz")


def test_score_judges_masks_of_any_program(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "scores.json"
    assert main(["score", str(folder / "videos"), str(folder / "videos"), "--json", str(target)]) == 0
    scores = json.loads(target.read_text())
    assert scores["video_fg_ari"] == scores["video_miou"] == scores["hota"] == pytest.approx(1.0)
    assert "video_fg_ari" in capsys.readouterr().out


def test_track_writes_results_per_video_and_skips_what_it_cannot_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    video = folder / "videos" / "000" / "video.mp4"
    command = ["track", str(video), "--model", str(folder / "run"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main(command) == 0
    (result,) = [entry for entry in (tmp_path / "out").iterdir() if entry.is_dir()]
    expected = {"overlay.mp4", "masks.npz", "tracks.json", "tracks.csv", "mot.txt", "report.html"}
    assert {entry.name for entry in result.iterdir()} == expected
    assert np.load(result / "masks.npz")["masks"].shape == (8, 32, 32)
    assert main([*command[:2], str(broken), *command[2:]]) == 3
    assert "broken.mp4" in capsys.readouterr().err
    assert "broken.mp4" in (tmp_path / "out" / "skipped.json").read_text()


def test_render_inspect_and_listings(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scenes = tmp_path / "scenes"
    numbers = ["--num-videos", "2", "--num-frames", "3", "--size", "32", "--workers", "0", "--truth", "depth"]
    assert main(["data", "render", "plain", "--out", str(scenes), *numbers]) == 0
    assert np.load(scenes / "00001" / "masks.npz")["masks"].shape == (3, 32, 32)
    assert "depth" in np.load(scenes / "00001" / "truth.npz")
    assert main(["data", "render", "plain", "--out", str(scenes), "--num-videos", "1", *numbers[2:]]) == 0
    assert f"2 videos in {scenes}" in capsys.readouterr().out.splitlines()[-1]
    assert main(["data", "inspect", str(scenes), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "2 videos, 0 broken" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    (scenes / "00000" / "video.mp4").write_bytes(b"")
    assert main(["data", "inspect", str(scenes), "--sheet", str(tmp_path / "sheet.png")]) == 3
    assert main(["components"]) == 0
    assert re.search(r"^loss +reconstruction +\S", capsys.readouterr().out, re.MULTILINE)
    assert main(["models"]) == 0


def test_the_demo_trains_scores_tracks_and_ends_with_one_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    raw: dict[str, Any] = raw_config(Path("unused"), steps=20, clip_length=[[0, 2], [10, 3]])
    scenes = {"family": "plain", "num_train": 3, "num_val": 2, "num_frames": 4, "size": 32}
    raw["data"] = {"scenes": scenes, "size": [32, 32], "path": str(tmp_path / "scenes")}
    (tmp_path / "demo.yaml").write_text(write_yaml(raw))
    monkeypatch.setattr(demo, "find_shipped_config", lambda name: tmp_path / name)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # render in this process
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--steps", "4"]) == 0
    screen = capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    wanted = "video_fg_ari frame_fg_ari video_miou video_mbo slot_permanence id_switches train_seconds"
    speeds = "frames_per_second_training frames_per_second_tracking"
    assert {*wanted.split(), *speeds.split(), "protocol", "counts"} <= metrics.keys()
    assert metrics["steps"] == 4
    assert metrics["frames_per_second_tracking"] > 0
    for shown in ("[1/3]", "[3/3]", "video_fg_ari", "protocol", "report.html", "held"):
        assert shown in screen
    assert main(["demo", "--out", str(out), "--steps", "4"]) == 0  # goes on with what is there
    capsys.readouterr()
    assert "holds a demo of 4 steps" in fails(capsys, "demo", "--out", out)


def test_fewer_steps_shrink_the_curriculum_alike():
    config = demo.demo_config(steps=500)
    full = demo.demo_config()
    share = 500 / full.training.steps
    assert config.training.steps == 500
    assert config.training.warmup_steps == round(full.training.warmup_steps * share)
    if not isinstance(full.training.clip_length, int):
        assert isinstance(config.training.clip_length, list)
        assert config.training.clip_length[-1][0] == round(full.training.clip_length[-1][0] * share)
    assert demo.demo_config(steps=1).training.steps == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "there is no command 'trian'; did you mean 'train'?"),
        ([], "required: command"),
        (["train"], "required: config; see 'slotkeeper train --help'"),
        (["train", "absent.yaml"], "there is no config file absent.yaml"),
        (["train", "{}/run.yaml", "--set", "training.stpes=1"], "did you mean 'steps'?"),
        (["train", "{}/run.yaml", "--set", "training.steps=0"], "training.steps must be at least 1, got 0"),
        (["train", "{}/run.yaml", "--set", "model.encoder.widht=1"], "did you mean 'width'?"),
        (["demo", "--out", "{}/run.yaml"], "run.yaml as a run folder"),
        (["train", "{}/run.yaml", "--set", "data.size=[62,62]"], "data.size: the cnn encoder needs"),
        (["train", "{}/run.yaml", "--set", "data.train=absent"], "no such file or folder: absent"),
        (["train", "{}/run.yaml", "--set", "data.train={}/run"], "no video in"),
        (["train", "{}/run.yaml", "--out", "{}/run"], "is not empty"),
        (["train", "{}/run.yaml", "--out", "{}/run.yaml/run"], "is not a folder that can be written"),
        (["demo", "--steps", "many"], "--steps: must be a whole number, got 'many'"),
        (["train", "{}/run.yaml", "--lr", "1"], "unrecognized arguments: --lr 1"),
        (["resume", "absent"], "absent is not a run folder"),
        (["evaluate", "absent", "{}/videos"], "there is no run or model folder absent"),
        (["evaluate", "{}/run", "absent"], "no such file or folder: absent"),
        (["evaluate", "{}/run", "{}/videos", "--device", "gpu"], "there is no device 'gpu'"),
        (["evaluate", "{}/run", "{}/videos", "--num-frames", "0"], "--num-frames: must be at least 1, got 0"),
        (["score", "absent", "{}/videos"], "no such file or folder: absent"),
        (["track", "absent.mp4", "--model", "{}/run", "--out", "{}/out"], "no such video: absent.mp4"),
        (["track", "{}/run", "--model", "{}/run", "--out", "{}/out"], "no video in"),
        (["track", "{}/run.yaml", "--model", "{}/run", "--out", "{}/out"], "run.yaml"),
        (["track", "{}/videos/000/video.mp4", "--model", "{}/run.yaml", "--out", "{}/out"], "is a file"),
        (["track", "{}/videos/000/video.mp4", "--model", "{}/run", "--out", "{}/run.yaml"], "can't write results"),
        (["data"], "required: action"),
        (["data", "rendr"], "did you mean 'render'?"),
        (["data", "render", "plane", "--out", "{}/scenes"], "did you mean 'plain'?"),
        (["score", "absent", "{}/videos", "--json", "{}/run.yaml/a.json"], "a.json: Not a directory"),
        (["score", "absent", "{}/videos", "--json", "{}"], "Is a directory"),
        (["evaluate", "absent", "{}/videos", "--json", "{}/run.yaml/a.json"], "a.json: Not a directory"),
        (["data", "inspect", "absent", "--sheet", "{}/run.yaml/a.png"], "a.png: Not a directory"),
        (["data", "inspect", "absent"], "no such file or folder: absent"),
    ],
)
def test_what_a_user_can_put_right_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
):
    assert expected in fails(capsys, *[argument.replace("{}", str(folder)) for argument in arguments])
    assert not Path("runs").exists()  # nothing is made before the input is known to be good


@pytest.mark.parametrize("command", ["train", "evaluate", "track"])
def test_a_gpu_that_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    video = folder / "videos" / "000" / "video.mp4"
    arguments = {
        "train": [folder / "run.yaml", "--set", "training.device=cuda", "--out", folder / "gpu"],
        "evaluate": [folder / "run", folder / "videos", "--device", "cuda"],
        "track": [video, "--model", folder / "run", "--out", folder / "gpu", "--device", "cuda"],
    }
    assert "CUDA" in fails(capsys, command, *arguments[command])
    assert not (folder / "gpu").exists()


def test_the_models_that_ship_are_named_where_there_is_no_such_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("slotkeeper.checkpoint._SHIPPED", tmp_path)
    assert "the models that ship with slotkeeper: none" in fails(
        capsys, "track", "video.mp4", "--out", tmp_path / "out"
    )


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("slotkeeper.cli.commands.run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["components"])


@pytest.mark.parametrize(
    ("problem", "expected"),
    [(KeyboardInterrupt(), "stopped by Ctrl-C"), (OSError(28, "No space left on device", "file"), "can't write file")],
)
def test_interruptions_and_full_disks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, problem: BaseException, expected: str
):
    def stopped(_: object) -> int:
        raise problem

    monkeypatch.setattr("slotkeeper.cli.commands.run", stopped)
    assert expected in fails(capsys, "components")


def test_a_termination_signal_is_one_sentence_and_listened_to_only_in_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("slotkeeper.cli.commands.run", lambda parsed: signal.raise_signal(signal.SIGTERM))
    assert fails(capsys, "components") == "slotkeeper: stopped by a termination signal\n"
    assert signal.getsignal(signal.SIGTERM) is before
