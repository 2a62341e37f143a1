"""The discrete autoencoder learns codes that pictures can be painted from; what is foretold is judged in nats."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small_run import raw_config

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import apply_override, parse_config
from slotkeeper.decoders.autoregressive import AutoregressiveDecoder
from slotkeeper.errors import ConfigError
from slotkeeper.losses.codes import CodeLikelihood, DiscreteAutoencoder
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput

COLORS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9], [0.5, 0.5, 0.5]])


def patchwork(seed: int, side: int = 8) -> torch.Tensor:
    """A picture of 4 x 4 pixels of one colour each."""
    chosen = torch.randint(len(COLORS), (side, side), generator=torch.Generator().manual_seed(seed))
    return COLORS[chosen].permute(2, 0, 1).repeat_interleave(4, 1).repeat_interleave(4, 2)[None, None]


def output_of(pictures: torch.Tensor, scores: torch.Tensor) -> VideoOutput:
    slots, attention = torch.zeros(1, 1, 2, 3), torch.full((1, 1, 2, 1), 0.5)
    return VideoOutput(
        features=Features(tokens=torch.zeros(1, 1, 1, 2), grid=(1, 1), colors=pictures),
        trajectory=SlotTrajectory(corrected=slots, predicted=slots, attention=attention),
        decoded=Decoded(
            reconstruction=torch.full((1, 1, 1, 2, 2), -1.5),
            pictures=None,
            masks=attention[..., None],
            target="codes",
            code_scores=scores,
        ),
    )


def clip_of(pictures: torch.Tensor) -> Clip:
    return Clip(frames=pictures, times=torch.zeros(1, 1))


def test_codes_come_to_carry_what_pictures_show():
    """From codes alone pictures are painted far better than by the best single colour, whose error is the variance."""
    torch.manual_seed(0)
    decoder = AutoregressiveDecoder(slot_dim=3, num_codes=12, width=4, num_blocks=1, dvae_width=32)
    loss = DiscreteAutoencoder(num_codes=12, width=32, cooled_at=0.7)
    optimizer = torch.optim.Adam([*decoder.scorer.parameters(), *loss.parameters()], lr=3e-3)
    for step in range(100):
        pictures = patchwork(step)
        optimizer.zero_grad()
        value = loss(clip_of(pictures), output_of(pictures, decoder.score(pictures)), progress=step / 100)
        value.backward()
        optimizer.step()
    unseen = patchwork(1000)
    scores = decoder.score(unseen)
    error = loss(clip_of(unseen), output_of(unseen, scores), progress=1.0)
    assert error < 0.5 * unseen.var(dim=(-2, -1)).mean()
    assert scores.argmax(2).unique().numel() > 1


def test_the_temperature_falls_by_half_a_cosine_and_stays():
    loss = DiscreteAutoencoder(num_codes=4, width=2, temperatures=(1.0, 0.1), cooled_at=0.2)
    assert [loss.temperature(progress) for progress in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([1, 0.55, 0.1, 0.1])


def test_likelihood_is_judged_in_nats_for_each_code():
    pictures = patchwork(0)
    value = CodeLikelihood()(clip_of(pictures), output_of(pictures, torch.zeros(1, 1, 5, 8, 8)), progress=0.0)
    assert value.item() == pytest.approx(1.5)


def test_with_a_ramp_the_likelihood_counts_later():
    pictures, loss = patchwork(0), CodeLikelihood(ramp=(0.2, 0.6))
    output = output_of(pictures, torch.zeros(1, 1, 5, 8, 8))
    values = [loss(clip_of(pictures), output, progress=progress).item() for progress in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert values == pytest.approx([0, 0, 0.75, 1.5, 1.5])


@pytest.mark.parametrize("ramp", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_a_ramp_that_does_not_rise_within_the_training_is_refused(ramp: tuple[float, float]):
    with pytest.raises(ConfigError, match="ramp of loss 'code_likelihood' must be two rising shares"):
        CodeLikelihood(ramp=ramp)


def test_a_fresh_model_knows_about_as_much_as_chance():
    raw = raw_config(Path("videos")) | {"losses": [{"name": "code_likelihood"}]}
    raw["model"]["decoder"] = {"name": "autoregressive", "num_codes": 32, "width": 16, "num_blocks": 1}
    config = parse_config(raw, "test")
    model = build_model(config)
    frames = torch.rand(2, 2, 3, 32, 32)
    output = model.train()(frames, torch.Generator().manual_seed(0))
    (_, _, loss), *_ = build_losses(config, model)
    value = loss(Clip(frames=frames, times=torch.zeros(2, 2)), output, progress=0.0)
    assert value.item() == pytest.approx(math.log(32), rel=0.25)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("losses=[{name: dvae}]", "needs a decoder with a vocabulary of codes; did you mean 'autoregressive'?"),
        ("losses=[{name: code_likelihood}]", "'code_likelihood' compares codes, but the decoder rebuilds frames"),
    ],
)
def test_a_decoder_without_codes_is_refused(override: str, said: str):
    raw = raw_config(Path("videos"))
    apply_override(raw, override)
    config = parse_config(raw, "test")
    with pytest.raises(ConfigError, match=said):
        build_losses(config, build_model(config))


@pytest.mark.parametrize(
    "settings", [{"width": 0}, {"temperatures": (0.1, 1.0)}, {"temperatures": (1.0, 0.0)}, {"cooled_at": 0.0}]
)
def test_wrong_settings_are_refused(settings: dict[str, object]):
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        DiscreteAutoencoder(num_codes=4, **settings)
