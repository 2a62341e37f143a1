"""Initial slots that have looked at the first frame, and what teaches them to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_run import small_config, write_squares

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import ComponentConfig, Config, LossConfig
from slotkeeper.errors import ConfigError
from slotkeeper.losses.preheat import Preheat
from slotkeeper.model import SlotModel
from slotkeeper.types import Clip

FRAMES = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = small_config(write_squares(tmp_path / "videos", 1))
    return replace(
        config,
        model=replace(config.model, initializer=ComponentConfig(name="preheated")),
        losses=[LossConfig(name="reconstruction"), LossConfig(name="preheat")],
    )


def preheat_loss(model: SlotModel) -> torch.Tensor:
    output = model(FRAMES, torch.Generator().manual_seed(0))
    return Preheat(has_guess=True)(Clip(frames=FRAMES, times=torch.zeros(2, 3)), output, progress=0.0)


def test_slots_of_another_frame_are_others_and_in_evaluation_they_are_the_guess(config: Config):
    model = build_model(config).eval()
    with torch.no_grad():
        trajectory = model(FRAMES).trajectory
    assert trajectory.guesses is not None
    assert trajectory.guesses.shape[1] == 1
    torch.testing.assert_close(trajectory.guesses[:, 0], trajectory.predicted[:, 0])
    assert not torch.allclose(trajectory.predicted[0, 0], trajectory.predicted[1, 0], atol=1e-3)


def test_the_guess_learns_from_its_own_loss_alone_and_nothing_else_does(config: Config):
    model = build_model(config).train()
    preheat_loss(model).backward()
    learning = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning == {"initializer"}
    model.zero_grad()
    model(FRAMES, torch.Generator().manual_seed(0)).decoded.reconstruction.square().mean().backward()
    touched = {name for name, parameter in model.initializer.named_parameters() if parameter.grad is not None}
    assert touched == {"log_sigma"}


def test_the_guess_comes_nearer_to_what_slot_attention_makes_of_it(config: Config):
    model = build_model(config).train()
    optimizer = torch.optim.Adam(model.initializer.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        loss = preheat_loss(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_loss_needs_an_initializer_that_guesses(config: Config):
    config = replace(config, model=replace(config.model, initializer=ComponentConfig(name="gaussian")))
    with pytest.raises(ConfigError, match="did you mean 'preheated'"):
        build_losses(config, build_model(config))
