"""Slot attention against a plain transcription of its algorithm, and its traps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from one_frame import frame_of
from torch import nn

from slotkeeper.correctors.slot_attention import SlotAttention
from slotkeeper.errors import ConfigError
from slotkeeper.nn.places import places_at
from slotkeeper.types import Features, PlacedSlots, Places


def correct(module: SlotAttention, slots: torch.Tensor, tokens: torch.Tensor, *, is_first: bool = True):
    """Slots and attention for tokens of one row."""
    corrected, attention = see(module, PlacedSlots(slots=slots), frame_of(tokens), is_first=is_first)
    return corrected.slots, attention


def see(module: SlotAttention, slots: PlacedSlots, frame: Features, *, is_first: bool):
    """Slots that have seen the frame, and attention."""
    return module(slots, module.prepare(frame), is_first=is_first)


def make(**settings: Any) -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(slot_dim=8, feature_dim=6, **settings)


def placed(
    centres: list[list[float]], is_placed: list[bool] | None = None, is_free: list[bool] | None = None
) -> Places:
    """Places of one video's slots, at rest."""
    return places_at(
        torch.tensor([centres]),
        torch.tensor([is_placed or [True] * len(centres)]),
        torch.tensor([is_free or [False] * len(centres)]),
    )


def test_equals_the_paper_written_out():
    """Locatello et al. 2020, algorithm 1, for one video and one iteration; the GRU's state is not normalised."""
    module = make(num_iterations_first=1)
    slots, tokens = torch.randn(1, 3, 8), torch.randn(1, 5, 6)
    normed = nn.functional.layer_norm(tokens[0], (6,))
    queries = nn.functional.layer_norm(slots[0], (8,)) @ module.query.weight.T
    logits = normed @ module.key.weight.T @ queries.T / 8**0.5
    attention = logits.softmax(dim=1)
    weights = attention / attention.sum(dim=0)
    updates = weights.T @ (normed @ module.value.weight.T)
    expected = module.update(updates, slots[0])
    expected = expected + module.mlp[1](nn.functional.layer_norm(expected, (8,)))
    corrected, seen = correct(module, slots, tokens, is_first=True)
    torch.testing.assert_close(seen[0], attention.T)
    torch.testing.assert_close(corrected[0], expected)


def test_order_of_slots_and_tokens_does_not_matter():
    module = make()
    slots, tokens = torch.randn(2, 4, 8), torch.randn(2, 9, 6)
    corrected, _ = correct(module, slots, tokens, is_first=True)
    swapped, _ = correct(module, slots[:, [2, 0, 3, 1]], tokens.flip(1), is_first=True)
    torch.testing.assert_close(swapped, corrected[:, [2, 0, 3, 1]])


def test_first_frame_has_its_own_number_of_iterations():
    module = make(num_iterations_first=2, num_iterations_next=1)
    slots, tokens = torch.randn(1, 3, 8), torch.randn(1, 5, 6)
    once, _ = correct(module, slots, tokens, is_first=False)
    twice, _ = correct(module, once, tokens, is_first=False)
    first, _ = correct(module, slots, tokens, is_first=True)
    torch.testing.assert_close(first, twice)


def test_attention_stays_float32_and_sums_to_one_under_bf16():
    module = make()
    with torch.autocast("cpu", torch.bfloat16):
        _, attention = correct(module, torch.randn(1, 3, 8), torch.randn(1, 500, 6), is_first=True)
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention.sum(1), torch.ones(1, 500))


@pytest.mark.parametrize(("epsilon", "least", "most"), [(1e-8, 0.99, 1.01), (1.0, 0.0, 0.01)])
def test_epsilon_decides_what_a_slot_without_evidence_reads(epsilon: float, least: float, most: float):
    """A slot off the tokens has nearly no attention; the usual epsilon still hands it a full mean of the values."""
    module = make(window=(0.25, 0.25), epsilon=epsilon, num_iterations_first=1)
    reads: list[torch.Tensor] = []
    module.update.register_forward_pre_hook(lambda _, given: reads.append(given[0]))
    slots = torch.randn(1, 1, 8).repeat(1, 2, 1)
    tokens = torch.randn(1, 1, 6).repeat(1, 2, 1)
    places = placed([[0.0, 0.0], [0.0, 1.2]])
    see(module, PlacedSlots(slots=slots, places=places), frame_of(tokens), is_first=True)
    full = module.value(module.norm_tokens(tokens))[0, 0]
    assert least <= (reads[0][1].norm() / full.norm()).item() <= most


def test_windows_keep_two_equal_slots_at_their_own_places():
    module = make(window=(0.2, 0.3))
    slots = torch.randn(1, 1, 8).repeat(1, 2, 1)
    tokens = torch.randn(1, 1, 6).repeat(1, 8, 1)
    start = PlacedSlots(slots=slots, places=placed([[-0.6, 0.0], [0.6, 0.0]]))
    corrected, attention = see(module, start, frame_of(tokens), is_first=True)
    assert attention[0, 0, :3].min() > 0.9
    assert attention[0, 1, 5:].min() > 0.9
    assert corrected.places.centres[0, :, 0].tolist() == pytest.approx([-0.5, 0.5], abs=0.15)


def test_a_placed_slot_wins_where_it_is_and_loses_far_away():
    module = make(window=(0.2, 0.3), handicap=2.5)
    slots = torch.randn(1, 1, 8).repeat(1, 2, 1)
    tokens = torch.randn(1, 1, 6).repeat(1, 8, 1)
    places = placed([[-0.6, 0.0], [0.0, 0.0]], is_placed=[True, False])
    _, attention = see(module, PlacedSlots(slots=slots, places=places), frame_of(tokens), is_first=False)
    assert attention[0, 0, 1] > 0.9
    assert attention[0, 1, 4:].min() > 0.9


@pytest.mark.parametrize("window", [None, (0.2, 0.3)])
def test_free_slots_pay_no_attention(window: tuple[float, float] | None):
    places = placed([[0.0, 0.0], [0.0, 0.0]], is_placed=[False, False], is_free=[False, True])
    start = PlacedSlots(slots=torch.randn(1, 2, 8), places=places)
    _, attention = see(make(window=window), start, frame_of(torch.randn(1, 8, 6)), is_first=True)
    assert attention[0].sum(1).tolist() == pytest.approx([8.0, 0.0])


def test_a_slot_that_knows_its_colour_leaves_others_alone():
    """A red and a blue slot at the same place: nothing else tells their tokens apart."""
    module = make(strictness=20.0)
    tokens = torch.randn(1, 1, 6).repeat(1, 4, 1)
    red, blue = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.8])
    places = placed([[0.0, 0.0], [0.0, 0.0]])
    places = replace(places, colors=torch.stack((red, blue))[None], ages=torch.ones(1, 2, dtype=torch.int64))
    picture = torch.stack((red, red, blue, blue), dim=1)[None, :, None]
    slots = PlacedSlots(slots=torch.randn(1, 1, 8).repeat(1, 2, 1), places=places)
    _, attention = see(module, slots, frame_of(tokens, colors=picture), is_first=False)
    assert attention[0, 0, :2].min() > 0.9
    assert attention[0, 1, 2:].min() > 0.9


@pytest.mark.parametrize(
    "settings", [{"num_iterations_first": 0}, {"num_iterations_next": 0}, {"window": (0.3, 0.2)}, {"strictness": -1.0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"corrector.*{next(iter(settings))}"):
        make(**settings)
