"""Training of systems that rebuild flow or depth: what they need is rendered, read and handed to their losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import LENGTH, SIDE, raw_config, write_squares

from slotkeeper.cli import main
from slotkeeper.config import parse_config, write_yaml
from slotkeeper.training import resume, train
from slotkeeper.training.needs import needs_of


def raw(videos: Path, kind: str, **training: Any) -> dict[str, Any]:
    plain = raw_config(videos, steps=25, lr=0.03, clip_length=2, log_every=1, **training)
    plain["model"]["decoder"] = {"name": "truth_system:TruthDecoder", "kind": kind}
    plain["losses"] = [{"name": "truth_system:TruthError", "kind": kind}]
    return plain


def write_truth(videos: Path, names: str) -> None:
    """The left half moves right by a pixel and is near, the right half stands and is far."""
    near = np.broadcast_to(np.arange(SIDE) < SIDE // 2, (LENGTH, SIDE, SIDE))
    flow = np.stack([near, np.zeros_like(near)], axis=-1).astype(np.float32)
    for name in names:
        np.savez(videos / f"00{name}" / "truth.npz", flow=flow, depth=np.where(near, 0.2, 0.8))


@pytest.mark.parametrize("kind", ["flow", "depth"])
def test_a_loss_gets_what_its_target_names_and_falls(tmp_path: Path, kind: str):
    videos = write_squares(tmp_path / "videos", 2)
    write_truth(videos, "01")
    config = parse_config(raw(videos, kind), "test")
    assert needs_of(config).truth == (kind,)
    train(config, tmp_path / "run", show_progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    values = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(values[-5:]) < 0.5 * values[0]


def test_videos_without_it_are_named_and_changed_truth_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    videos = write_squares(tmp_path / "videos", 3)
    write_truth(videos, "02")
    plain = raw(videos, "flow")
    plain["training"] |= {"steps": 1, "checkpoint_activations": True}
    (tmp_path / "c.yaml").write_text(write_yaml(plain))
    assert main(["train", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"), "--quiet"]) == 3
    assert "001/video.mp4 has no flow: there is no truth.npz beside it" in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 0
    write_truth(videos, "1")
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 2
    assert "are not those that" in capsys.readouterr().err


def test_settings_that_flow_does_not_go_with_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "c.yaml").write_text(write_yaml(raw(tmp_path / "videos", "flow")))
    for setting in ("data.frame_stride=2", "data.short_videos=loop"):
        assert main(["train", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"), "--set", setting]) == 2
        assert setting.partition("=")[0] in capsys.readouterr().err


def test_built_in_scenes_are_rendered_with_the_truth_that_a_run_needs(tmp_path: Path):
    plain = raw(tmp_path, "depth")
    plain["training"] |= {"steps": 1}
    scenes = {"num_train": 1, "num_val": 0, "num_frames": 2, "size": 16}
    plain["data"] |= {"size": [16, 16], "path": str(tmp_path / "scenes"), "train": None, "scenes": scenes}
    train(parse_config(plain, "test"), tmp_path / "run", show_progress=False)
    with np.load(tmp_path / "scenes" / "plain-16px-2f-seed0-depth" / "train-1" / "00000" / "truth.npz") as truth:
        assert truth.files == ["depth"]
    assert resume(tmp_path / "run", show_progress=False).metrics["steps"] == 1
