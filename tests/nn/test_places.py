"""How places follow what slots see, and what they expect of the next frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from slotkeeper.nn.places import coasted, followed, log_density, places_at, remembered, strangeness
from slotkeeper.nn.positions import round_basis, round_grid
from slotkeeper.types import Places

BASIS = round_grid(4, 4)


def places(centres: list[list[float]], **changes: torch.Tensor) -> Places:
    count = len(centres)
    everywhere = torch.ones(1, count, dtype=torch.bool)
    return replace(places_at(torch.tensor([centres]), everywhere, ~everywhere), **changes)


def attention(*rows: list[int], weight: float = 100.0) -> torch.Tensor:
    """Slots that attend with `weight` to the named tokens."""
    given = torch.zeros(1, len(rows), 16)
    for slot, tokens in enumerate(rows):
        given[0, slot, tokens] = weight
    return given


def test_places_go_to_what_a_slot_wins_and_stay_without_evidence():
    moved = followed(places([[0.0, 0.0], [0.3, -0.2]]), attention([0, 1], []), BASIS)
    torch.testing.assert_close(moved.centres[0, 0], torch.tensor([-0.5, -0.75]), rtol=0.01, atol=0.01)
    assert moved.spreads[0, 0].item() == pytest.approx(0.25, rel=0.01)
    torch.testing.assert_close(moved.centres[0, 1], torch.tensor([0.3, -0.2]))


def test_only_the_winner_of_a_token_moves_towards_it():
    """Two slots share four tokens nearly evenly; the one that always comes second stays."""
    shared = torch.zeros(1, 2, 16)
    shared[0, 0, :4], shared[0, 1, :4] = 0.51, 0.49
    moved = followed(places([[0.9, 0.9], [0.5, 0.5]]), shared, BASIS)
    assert moved.centres[0, 0, 1] < 0.2
    torch.testing.assert_close(moved.centres[0, 1], torch.tensor([0.5, 0.5]))


def test_slots_that_are_everywhere_have_no_place_to_move():
    start = places([[0.0, 0.0]], is_placed=torch.tensor([[False]]))
    torch.testing.assert_close(followed(start, attention([0, 1]), BASIS).centres, start.centres)


def test_the_velocity_of_even_motion_is_learned_and_carries_a_hidden_object_on():
    held = places([[-0.75, 0.0]])
    colors = torch.zeros(1, 16, 3)
    for token in (4, 5, 6, 7):  # one cell of 0.5 to the right per frame
        expected = coasted(held)
        seen = followed(expected, attention([token]), BASIS)
        held = remembered(expected, seen, attention([token]), colors)
    assert held.velocities[0, 0, 0].item() == pytest.approx(0.5, abs=0.15)
    speeds = [held.velocities[0, 0, 0].item()]
    for _ in range(3):
        expected = coasted(held)
        held = remembered(expected, followed(expected, attention([]), BASIS), attention([]), colors)
        speeds.append(held.velocities[0, 0, 0].item())
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] > 0


def test_doubt_grows_while_a_slot_sees_nothing_and_widens_its_window():
    held, colors = places([[-0.25, -0.25]]), torch.zeros(1, 16, 3)
    window = {"window": (0.12, 0.19), "handicap": 2.5}
    near = log_density(held, BASIS, **window)
    for _ in range(3):
        held = remembered(held, held, attention([]), colors)
    assert held.doubts[0, 0].item() == pytest.approx(0.3)
    far = log_density(held, BASIS, **window)
    assert far[0, 0, 0] > near[0, 0, 0]
    assert far[0, 0, 5] < near[0, 0, 5]
    held = remembered(held, held, attention([5, 6]), colors)
    assert held.doubts[0, 0].item() < 0.01


def test_the_window_is_a_normal_density_and_the_background_has_its_handicap():
    held = places([[0.0, 0.0], [0.0, 0.0]], is_placed=torch.tensor([[True, False]]))
    density = log_density(held, round_basis(torch.tensor([[0.0, 0.0], [0.3, 0.0]])), window=(0.1, 0.1), handicap=2.5)
    expected = torch.distributions.Normal(0.0, 0.1).log_prob(torch.tensor([0.0, 0.3]))
    torch.testing.assert_close(density[0, 0], expected - expected[0])
    assert density[0, 1].tolist() == [-2.5, -2.5]


def test_the_first_sight_sets_the_colour_and_later_ones_move_it_slowly():
    red, blue = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.8])
    held = places([[0.0, 0.0]])
    assert strangeness(held, red.expand(1, 16, 3)).max() == 0
    held = remembered(held, held, attention([5, 6]), red.expand(1, 16, 3))
    torch.testing.assert_close(held.colors[0, 0], red)
    assert strangeness(held, red.expand(1, 16, 3)).max() < 1e-6
    assert strangeness(held, 0.6 * red.expand(1, 16, 3)).max() < 0.1 * strangeness(held, blue.expand(1, 16, 3)).min()
    later = remembered(held, held, attention([5, 6]), blue.expand(1, 16, 3))
    torch.testing.assert_close(later.colors[0, 0], 0.9 * red + 0.1 * blue, rtol=0.02, atol=0.005)
    assert later.ages.item() == 2
