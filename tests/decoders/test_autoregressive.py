"""Codes foretold one after the other: probabilities, causes, and which gradient goes where."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from slotkeeper.decoders.autoregressive import AutoregressiveDecoder
from slotkeeper.errors import ConfigError
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, SlotTrajectory

NUM_CODES, SLOTS, WIDTH = 6, 3, 8
BATCH, TIME, SIZE = 2, 2, (8, 12)
GRID = (2, 3)
"""Of codes; tokens lie on one twice as fine."""


def decoder(**settings: Any) -> AutoregressiveDecoder:
    torch.manual_seed(0)
    plain = {"slot_dim": WIDTH, "num_codes": NUM_CODES, "width": 8, "num_blocks": 2, "num_heads": 2, "code_grid": GRID}
    return AutoregressiveDecoder(**{**plain, "dvae_width": 4, **settings})


def codes(seed: int = 0) -> torch.Tensor:
    return torch.randint(NUM_CODES, (BATCH, TIME, *GRID), generator=torch.Generator().manual_seed(seed))


def slots(seed: int = 0) -> torch.Tensor:
    return torch.randn(BATCH, TIME, SLOTS, WIDTH, generator=torch.Generator().manual_seed(seed))


def seen(noise_seeds: torch.Tensor | None = None) -> tuple[SlotTrajectory, Features, tuple[int, int]]:
    generator = torch.Generator().manual_seed(1)
    rows, columns = 2 * GRID[0], 2 * GRID[1]
    attention = torch.randn(BATCH, TIME, SLOTS, rows * columns, generator=generator).softmax(2)
    trajectory = SlotTrajectory(corrected=slots(), predicted=slots(), attention=attention, noise_seeds=noise_seeds)
    tokens = torch.zeros(BATCH, TIME, rows * columns, 4)
    colors = torch.rand(BATCH, TIME, 3, *SIZE, generator=generator)
    return trajectory, Features(tokens=tokens, grid=(rows, columns), colors=colors), SIZE


def test_what_is_foretold_are_probabilities():
    """Over all codes of the last place, the others being equal, they sum to 1."""
    foretelling, total = decoder().eval(), 0.0
    for code in range(NUM_CODES):
        chosen = codes()
        chosen[..., -1, -1] = code
        total = total + foretelling.log_likelihood(chosen, slots()).exp()[..., -1, -1]
    torch.testing.assert_close(total, torch.ones(BATCH, TIME, 1))


def test_with_a_large_attention_weight_a_place_reads_the_slots_that_looked_at_it():
    foretelling = decoder(attention_weight=100.0).eval()
    looked = torch.zeros(BATCH, TIME, SLOTS, *codes().shape[2:])
    looked[:, :, 0, 0], looked[:, :, 1:, 1:] = 1.0, 1.0 / (SLOTS - 1)
    before, changed = slots(), slots()
    changed[:, :, 1:] = slots(1)[:, :, 1:]
    first, second = (foretelling.log_likelihood(codes(), each, attention=looked) for each in (before, changed))
    torch.testing.assert_close(first[..., 0, :], second[..., 0, :])
    assert (first - second)[..., 1:, :].abs().max() > 1e-3
    unled = [decoder().eval().log_likelihood(codes(), each, attention=looked) for each in (before, changed)]
    assert (unled[0] - unled[1])[..., 0, :].abs().max() > 1e-3


def test_what_is_foretold_teaches_the_slots_where_to_look():
    looked = torch.rand(BATCH, TIME, SLOTS, *codes().shape[2:]).softmax(dim=2).requires_grad_()
    decoder(attention_weight=1.0).log_likelihood(codes(), slots(), attention=looked).sum().backward()
    assert looked.grad is not None
    assert looked.grad.abs().amax(dim=(0, 1, 2)).min() > 1e-6


@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_code_changes_the_chances_of_itself_and_of_those_after_it(place: int):
    foretelling, chosen = decoder().eval(), codes()
    before = foretelling.log_likelihood(chosen, slots()).flatten(3)
    chosen.flatten(2)[..., place] = (chosen.flatten(2)[..., place] + 1) % NUM_CODES
    after = foretelling.log_likelihood(chosen, slots()).flatten(3)
    torch.testing.assert_close(after[..., :place], before[..., :place])
    assert ((after - before)[..., place:].abs() > 1e-5).all()


def test_slots_are_a_set():
    foretelling = decoder().eval()
    likelihood = foretelling.log_likelihood(codes(), slots())
    torch.testing.assert_close(foretelling.log_likelihood(codes(), slots().flip(2)), likelihood)
    assert not torch.allclose(foretelling.log_likelihood(codes(), slots(1)), likelihood, atol=1e-3)


def test_without_a_difference_between_codes_each_has_its_share():
    foretelling = decoder()
    torch.nn.init.zeros_(foretelling.head.weight)
    likelihood = foretelling.log_likelihood(codes(), slots())
    torch.testing.assert_close(likelihood, torch.full_like(likelihood, -math.log(NUM_CODES)))


def test_codes_get_no_gradient_from_what_is_foretold():
    foretelling = decoder().train()
    decoded = foretelling(*seen())
    decoded.reconstruction.sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in foretelling.scorer.parameters())
    assert all(p.grad is not None for name, p in foretelling.named_parameters() if not name.startswith("scorer"))
    foretelling.zero_grad()
    decoded.code_scores.square().sum().backward()
    reached = {name.partition(".")[0] for name, p in foretelling.named_parameters() if p.grad is not None}
    assert reached == {"scorer"}


def test_training_draws_codes_by_their_probabilities_and_evaluation_takes_the_likeliest():
    foretelling = decoder()
    chances = torch.tensor([0.5, 0.3, 0.2, 0, 0, 0])
    torch.nn.init.zeros_(foretelling.scorer[-1].weight)
    foretelling.scorer[-1].bias.data = (chances + 1e-9).log()
    frames = torch.rand(1, 1, 3, 160, 160)
    drawn = foretelling.score(frames, VideoNoise([7])).argmax(2).flatten().bincount(minlength=NUM_CODES)
    torch.testing.assert_close(drawn / drawn.sum(), chances, atol=0.04, rtol=0)
    assert set(foretelling.score(frames).argmax(2).unique().tolist()) == {0}


def test_draws_belong_to_the_video_and_its_frame():
    seeds = torch.tensor([[1, 2], [3, 4]])
    foretelling = decoder(dropout=0.5).train()
    trajectory, features, size = seen(seeds)
    before = torch.random.get_rng_state()
    whole = foretelling(trajectory, features, size)
    assert torch.equal(torch.random.get_rng_state(), before)
    one = {"corrected": slots()[1:, 1:], "predicted": slots()[1:, 1:], "attention": trajectory.attention[1:, 1:]}
    of_one = Features(tokens=features.tokens[1:, 1:], grid=features.grid, colors=features.colors[1:, 1:])
    alone = foretelling(SlotTrajectory(**one, noise_seeds=seeds[1:, 1:]), of_one, size)
    torch.testing.assert_close(alone.reconstruction, whole.reconstruction[1:, 1:])
    torch.testing.assert_close(alone.code_scores, whole.code_scores[1:, 1:])
    other = foretelling(SlotTrajectory(**one, noise_seeds=seeds[:1, :1]), of_one, size)
    assert not torch.allclose(other.code_scores, alone.code_scores, atol=0.1)
    plain = foretelling.eval()(trajectory, features, size)  # in evaluation nothing is drawn
    torch.testing.assert_close(plain.code_scores.exp().sum(2), torch.ones(BATCH, TIME, *GRID))


def test_masks_are_the_attention_and_the_likelihood_may_be_left_out_in_evaluation():
    trajectory, features, size = seen()
    whole = decoder().eval()(trajectory, features, size)
    light = decoder(has_test_likelihood=False).eval()(trajectory, features, size)
    for decoded in (whole, light):
        torch.testing.assert_close(decoded.masks.flatten(3), trajectory.attention)
    assert whole.reconstruction.shape == (BATCH, TIME, 1, *GRID)
    assert light.reconstruction.numel() == 0
    assert decoder(has_test_likelihood=False).train()(trajectory, features, size).reconstruction.numel() > 0


def test_another_grid_of_codes_than_that_of_training_has_its_positions_in_between():
    foretelling = decoder(code_grid=(1, 1)).eval()
    same = decoder(code_grid=GRID).eval()
    with torch.no_grad():
        same.load_state_dict(foretelling.state_dict() | {"positions": foretelling.positions.expand_as(same.positions)})
    torch.testing.assert_close(
        foretelling.log_likelihood(codes(), slots()), same.log_likelihood(codes(), slots()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_codes": 1}, "decoder.num_codes must be at least 2, got 1"),
        ({"num_heads": 3}, "decoder.num_heads must divide decoder.width 8, got 3"),
        ({"attention_weight": -1.0}, "decoder.attention_weight must be at least 0 and finite, got -1"),
        ({"dropout": 1.0}, "decoder.dropout must be at least 0 and below 1, got 1"),
        ({"code_grid": (0, 4)}, "code_grid must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        decoder(**settings)


def test_frames_that_codes_do_not_fit_into_are_refused():
    trajectory, features, _ = seen()
    halved = replace(features, colors=torch.rand(BATCH, TIME, 3, 10, 12))
    with pytest.raises(ConfigError, match="that 8 divides, got 20x24; the nearest is 16x24"):
        decoder()(trajectory, halved, (20, 24))
