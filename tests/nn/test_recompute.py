"""Activation checkpointing: the same numbers, far less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import SIDE, raw_config
from torch import Tensor

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import parse_config
from slotkeeper.training.step import TrainingStep

CNN = {"name": "cnn", "width": 16, "feature_dim": 16, "num_blocks": 1, "pixel_dim": 4}
PARTS: dict[str, dict[str, Any]] = {
    "noise": {},
    "no recurrence": {"recurrence": "frame", "initializer": {"name": "gaussian", "noise_per": "frame"}},
    "encoder with state": {"encoder": CNN | {"name": "conv_lstm"}, "bptt": "detach"},
    "placed slots": {"initializer": {"name": "first_frame"}},
    "dropout": {"predictor": {"name": "slot_feature", "hidden_dim": 16}},
    "noisy corrector": {
        "encoder": {"name": "pixels", "stride": 4},
        "corrector": {"name": "nem", "hidden_dim": 16, "base_grid": 2, "width": 8},
        "decoder": {"name": "nem"},
    },
    "codes": {"decoder": {"name": "autoregressive", "num_codes": 16, "width": 8, "num_blocks": 1}},
}
LOSSES = ["mixture", "mask_sparsity", "slot_contrast"]
LOSSES_ON_CODES = ["code_likelihood", "dvae", "slot_contrast"]


def training_step(parts: dict[str, Any], *, recompute: bool) -> TrainingStep:
    raw = raw_config(Path("videos"))
    raw["model"] |= parts
    raw["losses"] = [{"name": name} for name in (LOSSES_ON_CODES if parts == PARTS["codes"] else LOSSES)]
    config = parse_config(raw, "test")
    model = build_model(config)
    return TrainingStep(model, build_losses(config, model), recompute=recompute).train()


def run(step: TrainingStep, time: int = 3) -> dict[str, Tensor]:
    frames = torch.rand(2, time, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return step({"frames": frames, "times": torch.zeros(2, time)}, torch.Generator().manual_seed(1), 0.6)


@pytest.mark.parametrize("name", PARTS)
def test_values_and_gradients_are_those_of_all_frames_at_once(name: str):
    found = []
    for recompute in (False, True):
        step = training_step(PARTS[name], recompute=recompute)
        values = run(step)
        values["loss"].backward()
        gradients = {key: p.grad for key, p in step.trained_parameters().items() if p.grad is not None}
        found.append({key: value.detach() for key, value in (values | gradients).items()})
    plain, again = found
    assert plain.keys() == again.keys()
    for key, value in plain.items():
        torch.testing.assert_close(again[key], value, rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def kept_bytes(time: int, *, recompute: bool) -> int:
    """Of what the backward pass keeps, each piece of memory counted once."""
    step = training_step({"decoder": {"name": "broadcast", "width": 16}}, recompute=recompute)
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        losses = run(step, time)
    assert losses["loss"].requires_grad
    return sum(value.untyped_storage().nbytes() for value in kept.values())


def test_what_is_kept_grows_with_the_clip_and_far_less_if_recomputed():
    plain = kept_bytes(4, recompute=False) - kept_bytes(2, recompute=False)
    longer = kept_bytes(8, recompute=False) - kept_bytes(4, recompute=False)
    assert longer == pytest.approx(2 * plain, rel=0.1)  # linear
    again = kept_bytes(8, recompute=True) - kept_bytes(4, recompute=True)
    assert again < longer / 5
