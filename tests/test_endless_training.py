"""Training on scenes without end: resumed exactly, the same on several processes, refused where it can't go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_run import raw_config
from together import run_together

from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.cli import main
from slotkeeper.config import Config, parse_config
from slotkeeper.errors import ConfigError
from slotkeeper.training import resume, train

TIMING = {"frames_per_second", "data_wait_share", "seconds"}


def raw(folder: Path, data: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    """A stage of other clips and batches begins in the middle."""
    stages = {"steps": 4, "batch_size": [[0, 4], [2, 2]], "clip_length": [[0, 2], [2, 3]], "log_every": 1}
    config = raw_config(folder, **(stages | training))
    scenes = {"family": "plain", "endless": True, "num_val": 0, "num_frames": 3, "size": 32}
    config["data"] = {"path": str(folder / "scenes"), "scenes": scenes, "size": [32, 32], "num_workers": 0} | (
        data or {}
    )
    return config


def config_of(folder: Path, data: dict[str, Any] | None = None, **training: Any) -> Config:
    return parse_config(raw(folder, data, **training), "test")


def logged(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING} for line in lines]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(list_checkpoints(run)[-1] / "model.safetensors")


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path):
    config = config_of(tmp_path, checkpoint_minutes=1e-9)
    train(config, tmp_path / "whole", show_progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(list_checkpoints(tmp_path / "cut")[-1])
    resume(tmp_path / "cut", show_progress=False)
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "cut")[name]), name
    assert len({line["loss"] for line in logged(tmp_path / "whole")}) == 4
    assert not (tmp_path / "scenes").exists()


def test_two_processes_see_what_one_sees(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw(tmp_path)))

    def work(rank: int) -> int:
        return main(["train", str(path), "--out", str(tmp_path / "two"), "--quiet"])

    assert [ended.code for ended in run_together(work, tmp_path / "printed")] == [0, 0]
    assert main(["train", str(path), "--out", str(tmp_path / "one"), "--quiet"]) == 0
    for one, two in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=2e-3, abs=1e-6)


def test_clips_as_long_as_a_scene_and_held_out_videos_that_stay(tmp_path: Path):
    scenes = {"family": "plain", "endless": True, "num_val": 2, "num_frames": 4, "size": 32}
    config = config_of(tmp_path, {"scenes": scenes}, steps=2, clip_length="all", batch_size=2)
    finished = train(config, tmp_path / "run", show_progress=False)
    assert finished.config.training.clip_length == [(0, 4)]
    assert [len(finished.videos.train), len(finished.videos.val)] == [0, 2]
    assert finished.evaluation is not None
    assert [path.name for path in (tmp_path / "scenes").rglob("val-*")] == ["val-2"]


@pytest.mark.parametrize(
    ("data", "training", "sentence"),
    [
        ({"fit": "random_crop"}, {}, "data.fit doesn't go with data.scenes.endless"),
        ({"enlarge": 2.0}, {}, "data.enlarge doesn't go with data.scenes.endless"),
        ({"features": "somewhere"}, {}, "data.features doesn't go with data.scenes.endless"),
        ({"size": [32, 48]}, {}, r"must be \[48, 48\], got \[32, 48\]"),
        ({}, {"clip_length": [[0, 2], [3, 5]]}, "clips of 5 .* need more frames than the 3 of data.scenes.num_frames"),
        ({"frame_stride": 3}, {"clip_length": 2}, "clips of 2 with frame_stride 3 need more frames than the 3"),
    ],
)
def test_what_cannot_go_is_refused(tmp_path: Path, data: dict[str, Any], training: dict[str, Any], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        train(config_of(tmp_path, data, **training), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_renders_what_it_learns_from(tmp_path: Path):
    finished = train(config_of(tmp_path, {"num_workers": 2}, device="cuda"), tmp_path / "run", show_progress=False)
    on_cpu = train(config_of(tmp_path), tmp_path / "cpu", show_progress=False)
    assert finished.metrics["steps"] == on_cpu.metrics["steps"] == 4
    assert logged(tmp_path / "run")[0]["loss"] == pytest.approx(logged(tmp_path / "cpu")[0]["loss"], rel=1e-2)
