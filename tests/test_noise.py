"""Noise of videos: each has its own, whatever batch it is in and however that is split."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import raw_config
from torch import nn

from slotkeeper.build import build_model
from slotkeeper.config import parse_config
from slotkeeper.model import SlotModel
from slotkeeper.nn.dropping import DroppingDecoderLayer
from slotkeeper.noise import VideoNoise, draw_seeds, dropped, spread_seeds

FRAMES = torch.rand(4, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
NOISY = {
    "gaussian": {"initializer": {"name": "gaussian"}},
    "preheated": {"initializer": {"name": "preheated"}},
    "slot_feature": {"predictor": {"name": "slot_feature", "hidden_dim": 16}},
    "nem": {
        "encoder": {"name": "pixels"},
        "corrector": {"name": "nem", "hidden_dim": 16, "base_grid": 2},
        "decoder": {"name": "nem"},
    },
}


def noisy_model(name: str) -> SlotModel:
    raw = raw_config(Path("videos"))
    raw["model"] |= NOISY[name]
    return build_model(parse_config(raw, "test")).train()


@pytest.mark.parametrize("name", NOISY)
def test_a_part_of_a_batch_gets_the_noise_that_it_has_in_the_whole(name: str):
    """A second process passes over the seeds of the first one's videos, and draws nothing from the global generator."""
    model = noisy_model(name)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        whole = model(FRAMES, torch.Generator().manual_seed(5)).trajectory.corrected
        generator = torch.Generator().manual_seed(5)
        draw_seeds(2, generator)
        part = model(FRAMES[2:], generator).trajectory.corrected
        other = model(FRAMES[2:], torch.Generator().manual_seed(5)).trajectory.corrected
    torch.testing.assert_close(part, whole[2:], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other, whole[2:], rtol=1e-2, atol=1e-3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_videos_frames_and_draws_have_numbers_of_their_own():
    seeds = draw_seeds(3, torch.Generator().manual_seed(0))
    rows = [VideoNoise(spread_seeds(seeds, index)).normal(50) for index in range(3)]
    twice = VideoNoise(seeds)
    drawn = torch.cat([*rows, twice.normal(50), twice.normal(50)])
    correlation = torch.corrcoef(drawn) - torch.eye(len(drawn))
    assert correlation.abs().max() < 0.6  # of 15 streams; 50 equal numbers would give 1
    assert twice.uniform(4, 2).shape == (3, 4, 2)
    assert set(VideoNoise([1]).integers(3, 100).unique().tolist()) == {0, 1, 2}


def test_dropout_keeps_the_mean_and_zeroes_its_share():
    values = dropped(torch.ones(2, 5000), 0.3, VideoNoise([0, 1]))
    assert (values == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert values.mean().item() == pytest.approx(1, abs=0.02)


def test_the_layer_that_drops_video_by_video_is_pytorch_s(monkeypatch: pytest.MonkeyPatch):
    """The same weights, and with nothing dropped the same values; with dropout other ones."""
    torch.manual_seed(0)
    layer = DroppingDecoderLayer(8, 2, 16, dropout=0.4)
    plain = nn.TransformerDecoderLayer(8, 2, 16, 0.4, activation="gelu", batch_first=True, bias=False)
    plain.load_state_dict(layer.state_dict())
    queries, seen = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    expected = plain.eval()(queries, seen)
    assert torch.equal(layer.eval()(queries, seen), expected)
    assert not torch.allclose(layer.train()(queries, seen, VideoNoise([0, 1])), expected, atol=0.1)
    monkeypatch.setattr("slotkeeper.nn.dropping.dropped", lambda values, *_: values)
    torch.testing.assert_close(layer(queries, seen, VideoNoise([0, 1])), expected)
