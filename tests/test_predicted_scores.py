"""Scores of predicted frames: LPIPS on a named trunk alone, and which masks are scored."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from random_trunks import random_trunk, write_random_weights
from small_run import SIDE, raw_config, write_squares

from slotkeeper.build import load_model
from slotkeeper.cli import main
from slotkeeper.cli.parser import LPIPS_TRUNKS
from slotkeeper.config import parse_config
from slotkeeper.data import find_videos, load_video
from slotkeeper.errors import ConfigError
from slotkeeper.masks import responsibilities
from slotkeeper.metrics.lpips import LPIPS_BACKBONES, Lpips, load_lpips
from slotkeeper.nn.perceptual import PerceptualDistance
from slotkeeper.nn.trunk_weights import read_heads
from slotkeeper.prediction import evaluate_prediction, foresee_video, format_prediction
from slotkeeper.prediction.scores import KINDS
from slotkeeper.training import train

SEEN = 3
PREDICT = ("--predict", "2", "--burn-in", str(SEEN))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"), 3)


@pytest.fixture(scope="module")
def run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model whose predictor foresees, hardly trained."""
    raw = raw_config(videos, steps=2, clip_length=3)
    raw["model"] |= {
        "decoder": {"name": "broadcast_light", "width": 16},
        "predictor": {"name": "transformer", "hidden_dim": 32},
    }
    return train(parse_config(raw, "test"), tmp_path_factory.mktemp("runs") / "run", show_progress=False).run


def test_lpips_is_absent_where_no_trunk_is_named(run: Path, videos: Path):
    loaded = load_model(run)
    evaluation = evaluate_prediction(loaded.model, find_videos(videos), size=(SIDE, SIDE), num_frames=2, burn_in=SEEN)
    scores = evaluation.as_json()
    assert scores["lpips"] is scores["lpips_by_frame"] is scores["protocol"]["lpips"] is None
    assert "lpips" not in format_prediction(evaluation)


def test_lpips_of_predicted_frames_is_that_of_their_pictures(
    run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """By the command on a trunk's file, and by hand on the same trunk with the published heads."""
    weights, written = write_random_weights(tmp_path), tmp_path / "scores.json"
    command = ["evaluate", str(run), str(videos), *PREDICT, "--json", str(written), "--quiet"]
    assert main([*command, "--lpips", "squeeze", "--trunk-weights", str(weights)]) == 0
    assert "lpips" in capsys.readouterr().out
    scores = json.loads(written.read_text())
    distance = PerceptualDistance(random_trunk("squeeze"), read_heads("squeeze"))
    model, by_hand = load_model(run).model.eval(), {"predicted": [], "copied": []}
    for item in find_videos(videos):
        frames = load_video(item, (SIDE, SIDE), max_frames=SEEN + 2).frames
        true = frames[0, SEEN:]
        pictures = foresee_video(model, frames[:, :SEEN], 2, device=CPU).pictures
        by_hand["predicted"].append(distance(pictures, true))
        by_hand["copied"].append(distance(frames[0, [SEEN - 1] * 2], true))
    for kind, found in {"predicted": scores, "copied": scores["baselines"]["copied"]}.items():
        expected = torch.stack(by_hand[kind]).mean(dim=0)
        assert found["lpips_by_frame"] == pytest.approx(expected.tolist(), rel=1e-4)
        assert found["lpips"] == pytest.approx(float(expected.mean()), rel=1e-4)
    label = scores["protocol"]["lpips"]
    assert label.startswith("LPIPS 0.1, trunk 'squeeze' with the weights squeeze.safetensors (SHA-256 ")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in label


def test_lpips_of_equal_pictures_is_0_and_of_others_does_not_depend_on_how_many_are_seen_at_once():
    metric = Lpips(PerceptualDistance(random_trunk("vgg"), read_heads("vgg")), "random")
    pictures = torch.rand(19, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(metric(pictures, pictures, CPU), torch.zeros(19))
    whole = metric(pictures.flip(0), pictures, CPU)
    torch.testing.assert_close(whole[17:], metric(pictures.flip(0)[17:], pictures[17:], CPU))
    beyond = pictures.clone().mul_(3).sub_(1)
    torch.testing.assert_close(metric(beyond, pictures, CPU), metric(beyond.clamp(0, 1), pictures, CPU))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lpips", "vgg"], "--trunk-weights of --lpips must name a file for backbone 'vgg'"),
        (["--lpips", "vgg", "--trunk-weights", "gone.safetensors"], "there is no file gone.safetensors"),
        (["--trunk-weights", "vgg.safetensors"], "--trunk-weights needs --lpips"),
        (["--lpips", "efficientnet_lite0"], "efficientnet_lite0"),
    ],
)
def test_lpips_is_never_guessed(
    run: Path, videos: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
):
    assert main(["evaluate", str(run), str(videos), *PREDICT, "--quiet", *options]) == 2
    assert message in capsys.readouterr().err


def test_lpips_needs_published_heads_a_prediction_and_pictures_that_its_trunk_can_see(
    run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert set(LPIPS_TRUNKS) == set(LPIPS_BACKBONES)
    weights = str(write_random_weights(tmp_path))
    with pytest.raises(ConfigError, match="not for 'efficientnet_lite0'"):
        load_lpips("efficientnet_lite0", weights)
    assert main(["evaluate", str(run), str(videos), "--lpips", "squeeze", "--trunk-weights", weights]) == 2
    assert "--lpips is for scoring predictions, with --predict" in capsys.readouterr().err
    metric = load_lpips("squeeze", weights)
    with pytest.raises(ConfigError, match="at least 17 pixels a side, those of this model have 16x16"):
        evaluate_prediction(
            load_model(run).model, find_videos(videos), size=(16, 16), num_frames=2, burn_in=SEEN, lpips=metric
        )


@torch.no_grad()
def test_seen_masks_follow_from_pixels_and_foreseen_ones_from_slots_alone(run: Path, videos: Path):
    """With posterior_sigma: responsibilities where a frame was seen, masks as decoded where none was."""
    items, sigma = find_videos(videos), 0.2
    plain, posterior = (load_model(run).model.eval() for _ in range(2))
    posterior.posterior_sigma = sigma
    seen = load_video(items[0], (SIDE, SIDE), max_frames=SEEN).frames
    by_slots, by_pixels = (foresee_video(model, seen, 2, device=CPU) for model in (plain, posterior))
    decoded = plain(seen).decoded
    expected = responsibilities(decoded.masks, decoded.drawn, seen, sigma)[0]
    torch.testing.assert_close(by_pixels.masks[:SEEN], expected)
    assert not torch.allclose(by_pixels.masks[:SEEN], by_slots.masks[:SEEN])
    torch.testing.assert_close(by_pixels.masks[SEEN:], by_slots.masks[SEEN:])
    torch.testing.assert_close(by_pixels.pictures, by_slots.pictures)

    evaluation = evaluate_prediction(posterior, items, size=(SIDE, SIDE), num_frames=2, burn_in=SEEN)
    starts = {kind: getattr(evaluation, kind).scores.protocol.resize.split(" bilinearly")[0] for kind in KINDS}
    by_seeing = "responsibilities for seen pixels (posterior_sigma 0.2)"
    assert starts == {"predicted": "soft masks", "copied": by_seeing, "seen": by_seeing}
    assert evaluation.as_json()["protocol"]["masks_of_baselines"] == by_seeing
    assert f"masks of copied and seen: {by_seeing}" in format_prediction(evaluation)
