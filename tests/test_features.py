"""Features by the command line: computed once, then trained on as if the backbone had run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import raw_config, write_squares
from tiny_backbone import TinyBackbone
from torch import Tensor

from slotkeeper.build import build_losses, build_model
from slotkeeper.cli import main
from slotkeeper.config import parse_config, write_yaml
from slotkeeper.training.step import TrainingStep

BACKBONE = {"name": "tiny_backbone:TinyBackbone"}


def raw(videos: Path, features: Path | None = None, **encoder: Any) -> dict[str, Any]:
    plain = raw_config(videos, steps=3, log_every=1, clip_length=3)
    plain["model"]["encoder"] = BACKBONE | encoder
    plain["model"]["decoder"] = {"name": "broadcast", "width": 8}
    plain["data"]["features"] = None if features is None else str(features)
    return plain


def write_config(path: Path, plain: dict[str, Any]) -> str:
    path.write_text(write_yaml(plain))
    return str(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and features of them in `features`."""
    root = tmp_path_factory.mktemp("root")
    write_squares(root / "videos", 4)
    config = write_config(root / "plain.yaml", raw(root / "videos"))
    command = ["data", "features", config, str(root / "videos"), "--out", str(root / "features"), "--quiet"]
    assert main([*command, "--device", "cpu"]) == 0
    return root


def slot_gradients(run: Path) -> list[float]:
    """Of each frame in each step: they depend on the features more than losses do."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [value for line in lines for name, value in line.items() if name.startswith("slot_gradient/")]


def test_training_on_them_gives_what_the_backbone_gives_without_running_it(root: Path):
    assert main(["train", str(root / "plain.yaml"), "--out", str(root / "computing"), "--quiet"]) == 0
    config = write_config(root / "cached.yaml", raw(root / "videos", root / "features"))
    TinyBackbone.num_seen = 0
    command = ["train", config, "--out", str(root / "cached"), "--quiet", "--set", "evaluation.num_frames=1"]
    assert main([*command, "training.sample_every=0"]) == 0
    num_seen, num_trained = TinyBackbone.num_seen, 3 * 2 * 3
    assert num_seen < num_trained  # one frame to find out whether the size goes
    computed, cached = slot_gradients(root / "computing"), slot_gradients(root / "cached")
    assert len(cached) == 3 * 3
    assert cached == pytest.approx(computed, rel=2**-8)  # bf16 keeps eight bits
    assert cached != computed


def test_the_summary_tells_what_they_take_on_disk(root: Path, capsys: pytest.CaptureFixture[str]):
    config = str(root / "plain.yaml")
    assert main(["data", "features", config, str(root / "videos"), "--out", str(root / "features"), "--quiet"]) == 0
    shown = capsys.readouterr().out
    size = sum(path.stat().st_size for path in (root / "features").glob("*.tar"))
    assert f"features of 4 videos with 32 frames in 1 shard of together {size / 1e6:.1f} MB" in shown


def test_a_trained_model_will_do_and_its_features_fit_its_config(root: Path, tmp_path: Path):
    config = write_config(tmp_path / "c.yaml", raw(root / "videos"))
    assert main(["train", config, "--out", str(tmp_path / "run"), "--quiet", "--set", "training.steps=1"]) == 0
    out = tmp_path / "features"
    command = ["data", "features", str(tmp_path / "run"), str(root / "videos"), "--out", str(out), "--quiet"]
    assert main([*command, "--precision", "fp16"]) == 0
    assert main(["train", config, "--out", str(tmp_path / "next"), "--quiet", "--set", f"data.features={out}"]) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model.encoder.seed": 1}, "than this model's (tiny, seed 1, sha256 "),
        ({"data.size": [16, 16]}, "is of frames of 32x32, but data.size is 16x16"),
        ({"model.encoder.is_frozen": False}, "data.features needs an encoder with a frozen backbone"),
        ({"data.augmentation.flip": True}, "data.augmentation must be left out with data.features"),
        ({"data.augmentation.hue": 0.1}, "data.augmentation must be left out with data.features"),
        ({"data.fit": "center_crop"}, "data.fit must be 'stretch' with data.features"),
        ({"data.features": "nowhere"}, "there is no folder of features nowhere"),
    ],
)
def test_features_that_do_not_fit_are_refused_in_one_sentence(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], reason: str
):
    config = write_config(tmp_path / "c.yaml", raw(root / "videos", root / "features"))
    changed = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    assert main(["train", config, "--out", str(tmp_path / "run"), "--quiet", "--set", *changed]) == 2
    shown = capsys.readouterr().err
    assert reason in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_encoder_without_a_backbone_has_no_features(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = write_config(tmp_path / "c.yaml", raw_config(root / "videos"))
    command = ["data", "features", config, str(root / "videos"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "needs an encoder with a frozen backbone, but 'cnn' has none" in capsys.readouterr().err


def test_a_resumed_run_knows_its_features(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config, out = write_config(tmp_path / "c.yaml", raw(root / "videos", tmp_path / "features")), tmp_path / "run"
    command = ["data", "features", str(root / "plain.yaml"), str(root / "videos"), "--out", str(tmp_path / "features")]
    assert main([*command, "--quiet"]) == 0
    assert main(["train", config, "--out", str(out), "--quiet"]) == 0
    assert main(["resume", str(out), "--quiet"]) == 0
    for path in (tmp_path / "features").iterdir():
        path.unlink()
    assert main([*command, "--quiet", "--precision", "fp16"]) == 0
    capsys.readouterr()
    assert main(["resume", str(out), "--quiet"]) == 2
    assert f"are not those that {out} began with" in capsys.readouterr().err


@pytest.mark.parametrize("recompute", [False, True])
def test_given_targets_give_the_same_values_and_gradients(root: Path, recompute: bool):
    config = parse_config(raw(root / "videos"), "test")
    found: list[dict[str, Tensor]] = []
    frames = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for given in (False, True):
        model = build_model(config)
        step = TrainingStep(model, build_losses(config, model), recompute=recompute and given).train()
        seen = {"frames": frames, "times": torch.zeros(2, 3)}
        if given:
            seen["features"] = model.encoder.targets_of(frames)[0]
        values = step(seen, torch.Generator().manual_seed(1), 0.5)
        values["loss"].backward()
        gradients = {key: p.grad for key, p in step.trained_parameters().items() if p.grad is not None}
        found.append({key: value.detach() for key, value in (values | gradients).items()})
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-4, atol=1e-6, msg=key)
