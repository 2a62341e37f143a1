"""Losses in training: each one reaches the model and the log, and weights of their own stay beside the model's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from random_trunks import write_random_weights
from safetensors.torch import load_file, save_file
from small_run import SIDE, raw_config, write_squares

from slotkeeper.build import build_losses, build_model, load_model
from slotkeeper.catalog import FAMILIES, find_component
from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.config import Config, parse_config
from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.training import resume, train
from slotkeeper.training.optimizer import make_optimizer
from slotkeeper.training.step import TrainingStep

LOSSES = [
    name
    for name in FAMILIES["loss"]
    if find_component("loss", name).target in (None, "frames") and not name.startswith("foreseen_")
]
"""Those that fit one model; what rebuilds something else, or needs dynamics, is tested with its systems."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 3)


@pytest.fixture(scope="module")
def trunk_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_random_weights(tmp_path_factory.mktemp("trunk")))


def config_with(losses: list[dict[str, Any]], videos: Path = Path("videos"), **training: Any) -> Config:
    raw = raw_config(videos, **training) | {"losses": losses}
    if any(loss["name"] == "preheat" for loss in losses):
        raw["model"]["initializer"] = {"name": "preheated"}
    for target in ("flow", "depth"):
        if any(loss["name"] == f"{target}_reconstruction" for loss in losses):
            raw["model"]["decoder"] = {"name": "broadcast_light", "target": target}
    return parse_config(raw, "test")


def settings_of(name: str, trunk_weights: str) -> dict[str, Any]:
    return {"name": name} | ({"backbone": "squeeze", "trunk_weights": trunk_weights} if name == "perceptual" else {})


def gradients(config: Config, progress: float = 0.9) -> tuple[TrainingStep, dict[str, torch.Tensor]]:
    """One training step without the update: the step, and the gradient of everything that is trained."""
    model = build_model(config)
    step = TrainingStep(model, build_losses(config, model)).train()
    frames = torch.rand(2, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    truth = {"flow": frames[:, :, :2] - 0.5, "depth": frames[:, :, :1]}
    values = step({"frames": frames, "times": torch.zeros(2, 3)} | truth, torch.Generator().manual_seed(0), progress)
    assert list(values) == ["loss", *(f"loss/{loss.name}" for loss in config.losses)]
    values["loss"].backward()
    return step, {name: p.grad for name, p in step.trained_parameters().items() if p.grad is not None}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_catalogue_moves_the_model(name: str, trunk_weights: str):
    step, reached = gradients(config_with([settings_of(name, trunk_weights) | {"weight": 2.0}]))
    assert all(gradient.isfinite().all() for gradient in reached.values())
    for part in ("initializer.",) if name == "preheat" else ("encoder.", "corrector."):
        assert any(gradient.abs().sum() > 0 for key, gradient in reached.items() if key.startswith(part)), part
    own = [key for key in step.trained_parameters() if key.startswith(f"{name}/")]
    assert all(reached[key].abs().sum() > 0 for key in own)
    assert bool(own) == (name == "future_prediction")


def test_each_term_counts_by_its_weight(trunk_weights: str):
    all_of_them = [
        settings_of(name, trunk_weights) for name in LOSSES if name != "preheat"
    ]  # its own start, no encoder
    key = "encoder.coarse.weight"
    alone = [gradients(config_with([loss]))[1][key] for loss in all_of_them]
    weights = [0.5 + number for number in range(len(alone))]
    together = gradients(config_with([loss | {"weight": w} for loss, w in zip(all_of_them, weights, strict=True)]))[1]
    expected = sum(weight * gradient for weight, gradient in zip(weights, alone, strict=True))
    torch.testing.assert_close(together[key], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_loss_is_logged_by_its_name(videos: Path, trunk_weights: str, tmp_path: Path, precision: str):
    losses = [settings_of(name, trunk_weights) | {"weight": 0.1} for name in LOSSES]
    config = config_with(losses, videos, steps=2, log_every=1, precision=precision)
    metrics = train(config, tmp_path / "run", show_progress=False).metrics
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        assert values["loss"] == pytest.approx(0.1 * sum(values[f"loss/{name}"] for name in LOSSES), rel=1e-4)
    model = build_model(config)
    own = build_losses(config, model)[LOSSES.index("future_prediction")][2]
    assert metrics["num_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert metrics["num_loss_parameters"] == sum(parameter.numel() for parameter in own.parameters()) > 0
    newest = list_checkpoints(tmp_path / "run")[-1]
    saved = load_file(newest / "training.safetensors")
    kept = {f"future_prediction/{name}" for name in own.state_dict()}
    assert {name.removeprefix("losses/") for name in saved if name.startswith("losses/")} == kept  # and no trunk
    assert load_file(newest / "model.safetensors").keys() == model.state_dict().keys()
    assert load_model(tmp_path / "run").config.losses[-1].name == config.losses[-1].name


def test_a_loss_s_own_weights_learn_and_are_found_again(videos: Path, tmp_path: Path):
    config = config_with([{"name": "reconstruction"}, {"name": "future_prediction", "width": 4}], videos, steps=4)
    train(config, tmp_path / "run", show_progress=False)
    *older, newest = list_checkpoints(tmp_path / "run")
    for checkpoint in older:
        shutil.rmtree(checkpoint)
    saved = load_file(newest / "training.safetensors")
    fresh = build_losses(config, build_model(config))[1][2].state_dict()
    for name, value in fresh.items():
        assert not torch.equal(saved[f"losses/future_prediction/{name}"], value), name
        assert f"exp_avg/future_prediction/{name}" in saved
    saved.pop("losses/future_prediction/network.up.0.bias")
    save_file(saved, newest / "training.safetensors")
    with pytest.raises(CheckpointError, match=r"misses network\.up\.0\.bias"):
        resume(tmp_path / "run", show_progress=False)


def test_the_optimizer_holds_the_model_s_and_the_losses_weights_once():
    config = config_with([{"name": "future_prediction"}])
    model = build_model(config)
    step = TrainingStep(model, build_losses(config, model))
    held = [
        p for group in make_optimizer(step.trained_parameters(), config.training).param_groups for p in group["params"]
    ]
    assert len(held) == len({id(p) for p in held})
    assert {id(p) for p in held} == {id(p) for p in step.trained_parameters().values()}


def test_a_loss_s_weights_come_from_the_seed_and_nobody_elses_random_numbers_change():
    config = config_with([{"name": "mask_entropy"}, {"name": "future_prediction"}])
    model = build_model(config)
    before = torch.random.get_rng_state()
    first = build_losses(config, model)[1][2].state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    again = build_losses(config, model)[1][2].state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())


@pytest.mark.parametrize("name", ["future_prediction", "perceptual", "slot_contrast"])
@pytest.mark.parametrize("clip_length", [1, [[0, 3], [2, 1]]])
def test_losses_across_frames_refuse_clips_of_one(name: str, clip_length: Any, trunk_weights: str):
    config = config_with([settings_of(name, trunk_weights)], clip_length=clip_length)
    with pytest.raises(ConfigError, match=f"training.clip_length must be at least 2 for the loss '{name}', got 1"):
        build_losses(config, build_model(config))


def test_frames_too_small_for_a_trunk_are_refused(trunk_weights: str):
    raw = raw_config(Path("videos")) | {"losses": [settings_of("perceptual", trunk_weights)]}
    raw["data"]["size"] = [64, 16]
    config = parse_config(raw, "test")
    with pytest.raises(ConfigError, match=r"data\.size must be at least 17 for the loss 'perceptual', got 16"):
        build_losses(config, build_model(config))
