"""Configs to models: wiring of widths, checked settings, one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import raw_config

from slotkeeper.build import build_losses, build_model, check_frame_size, resolved
from slotkeeper.config import apply_override, parse_config
from slotkeeper.errors import ConfigError


def config(*overrides: str) -> Any:
    raw = raw_config(Path("videos"))
    for override in overrides:
        apply_override(raw, override)
    return parse_config(raw, "test")


@pytest.mark.parametrize("decoder", ["layered", "broadcast", "broadcast_light"])
@pytest.mark.parametrize("initializer", ["gaussian", "learned", "first_frame"])
def test_components_of_any_widths_fit_together(decoder: str, initializer: str):
    settings = config(
        f"model.decoder={{name: {decoder}}}",
        f"model.initializer={{name: {initializer}}}",
        "model.slot_dim=12",
        "model.num_slots=5",
        "model.encoder.feature_dim=20",
    )
    output = build_model(settings).eval()(torch.rand(1, 2, 3, 32, 32))
    assert output.decoded.masks.shape == (1, 2, 5, 32, 32)
    assert output.trajectory.corrected.shape == (1, 2, 5, 12)


def test_weights_come_from_the_seed_alone_and_nobody_elses_random_numbers_change():
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    first = build_model(config())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    again, other = build_model(config()), build_model(config("seed=4"))
    name = "encoder.coarse.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.encoder.widht=5", "cnn has no setting 'model.encoder.widht'; did you mean 'width'?"),
        ("model.encoder.width=wide", "model.encoder.width must be a whole number, got 'wide'"),
        ("model.encoder.name=resnet", "there is no encoder named 'resnet'"),
        ("model.corrector.name=slot_atention", "did you mean 'slot_attention'?"),
        ("model.corrector.slot_dim=5", "follows from the rest of the model; remove it (it is 16)"),
        ("model.corrector.has_mlp=3", "model.corrector.has_mlp must be true or false, got 3"),
        ("model.predictor.num_heads=3", "num_heads must divide"),
        ("model.decoder.name=absent.module:Decoder", "can't be imported"),
        ("losses.0.name=reconstructoin", "did you mean 'reconstruction'?"),
        ("losses.0.sigma=1", "reconstruction has no setting 'losses.reconstruction.sigma'; known are: weight"),
        ("losses.0.wieght=1", "no setting 'losses.reconstruction.wieght'; did you mean 'weight'?"),
        ("losses.0={name: mixture, sigma: null}", "losses.mixture.sigma must be a number, got nothing"),
        ("losses.0={name: mixture, sigma: x}", "losses.mixture.sigma must be a number, got 'x'"),
    ],
)
def test_wrong_settings_of_components_are_named(override: str, expected: str):
    wrong = config(override)
    with pytest.raises(ConfigError) as caught:
        build_losses(wrong, build_model(wrong))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("decoder", "size", "expected"),
    [
        (
            "layered",
            (32, 62),
            "the cnn encoder needs a frame height and width that 4 divides, got 32x62; the nearest is 32x64",
        ),
        ("broadcast_light", (33, 64), "the cnn encoder needs a frame height and width that 4 divides, got 33x64"),
        ("broadcast", (60, 64), "this decoder needs a frame height and width that 8 divides, got 60x64"),
    ],
)
def test_a_size_that_the_model_cannot_take_is_known_before_any_video(
    decoder: str, size: tuple[int, int], expected: str
):
    model = build_model(config(f"model.decoder={{name: {decoder}}}"))
    with pytest.raises(ConfigError) as caught:
        check_frame_size(model, size)
    assert str(caught.value).startswith(f"data.size: {expected}")
    assert model.training
    check_frame_size(model, (64, 40))


def test_a_class_given_by_its_import_path_is_used():
    by_path = config("model.predictor={name: 'slotkeeper.predictors.identity:IdentityPredictor'}")
    assert type(build_model(by_path).predictor).__name__ == "IdentityPredictor"


def test_resolved_configs_spell_out_defaults_and_build_the_same():
    plain = config()
    full = resolved(plain)
    assert full.model.corrector.settings["num_iterations_first"] == 3
    assert "slot_dim" not in full.model.corrector.settings
    assert resolved(full) == full
    assert parse_config(_plain(full), "again") == full
    weights, again = build_model(plain).state_dict(), build_model(full).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def _plain(settings: Any) -> dict[str, Any]:
    from slotkeeper.config import plain_config

    return plain_config(settings)
