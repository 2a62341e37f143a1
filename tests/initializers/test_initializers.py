"""First slots: what is random, what is fixed, and what the first frame decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.initializers.first_frame import FirstFrameInitializer, connected
from slotkeeper.initializers.gaussian import GaussianInitializer
from slotkeeper.initializers.learned import LearnedInitializer
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features

GRID = (8, 8)


def features_of(colors: torch.Tensor) -> Features:
    """Features of pictures given as `b 8 8 3`; tokens, one for 2 x 2 cells, repeat the colours."""
    picture = colors.permute(0, 3, 1, 2)
    tokens = functional.avg_pool2d(picture, 2).flatten(2).transpose(1, 2)
    return Features(tokens=tokens[:, None].repeat(1, 1, 1, 4), grid=(4, 4), colors=picture[:, None])


def grey(batch: int = 1) -> torch.Tensor:
    return torch.full((batch, *GRID, 3), 0.5)


def test_gaussian_is_one_fixed_noise_in_evaluation_and_fresh_in_training():
    initializer = GaussianInitializer(num_slots=4, slot_dim=8)
    slots = initializer.eval()(features_of(grey(3))).slots
    assert torch.equal(slots[0], slots[1])
    assert torch.equal(slots, initializer(features_of(grey(3))).slots)
    fresh = initializer.train()(features_of(grey(3))).slots
    assert not torch.equal(fresh[0], fresh[1])


def test_gaussian_noise_follows_what_is_given():
    initializer = GaussianInitializer(num_slots=4, slot_dim=8).eval()
    first, again, other = (initializer(features_of(grey()), VideoNoise([seed])).slots for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gaussian_spread_is_sigma():
    initializer = GaussianInitializer(num_slots=64, slot_dim=256, sigma=0.1).train()
    slots = initializer(features_of(grey(4)), VideoNoise(range(4))).slots
    assert (slots - initializer.mean).std().item() == pytest.approx(0.1, rel=0.02)


def test_gaussian_frozen_has_no_gradient_but_is_saved():
    initializer = GaussianInitializer(num_slots=4, slot_dim=8, is_trainable=False)
    assert not any(parameter.requires_grad for parameter in initializer.parameters())
    assert {"mean", "log_sigma", "fixed_noise"} <= initializer.state_dict().keys()


def test_gaussian_refuses_no_spread():
    with pytest.raises(ConfigError, match="sigma must be positive"):
        GaussianInitializer(num_slots=4, slot_dim=8, sigma=0.0)


def test_learned_is_the_same_for_every_video():
    slots = LearnedInitializer(num_slots=4, slot_dim=8)(features_of(grey(2))).slots
    assert torch.equal(slots[0], slots[1])


@pytest.fixture
def first_frame() -> FirstFrameInitializer:
    torch.manual_seed(0)
    return FirstFrameInitializer(num_slots=4, slot_dim=8, feature_dim=12)


RED, BLUE = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.2, 0.9])


def picks(initializer: FirstFrameInitializer, picture: torch.Tensor) -> list[tuple[int, int]]:
    """Rows and columns of the cells that were picked."""
    points, is_new = initializer.pick(picture.permute(0, 3, 1, 2))
    cells = ((points + 1) * 4 - 0.5).round().int()
    return [(int(row), int(column)) for (column, row), new in zip(cells[0], is_new[0], strict=True) if new]


def test_every_patch_of_another_colour_is_picked_once_in_its_middle(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 0:3, 0:3] = RED
    picture[0, 4:7, 4:7] = BLUE
    assert sorted(picks(first_frame, picture)) == [(1, 1), (5, 5)]


def test_two_patches_of_one_colour_that_do_not_touch_are_two_things(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 1:3, 1:3] = picture[0, 1:3, 5:7] = RED
    assert sorted(column // 4 for _, column in picks(first_frame, picture)) == [0, 1]


def test_touching_patches_of_two_colours_are_two_things(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 2:5, 1:4] = RED
    picture[0, 2:5, 4:7] = BLUE
    assert len(picks(first_frame, picture)) == 2


def test_a_thing_with_a_bright_and_a_dark_side_is_one(first_frame: FirstFrameInitializer):
    picture = grey()
    for column in range(1, 7):
        picture[0, 2:6, column] = RED * (1 - 0.06 * column)
    assert len(picks(first_frame, picture)) == 1


def test_single_cells_do_not_count(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 4, 4] = RED
    assert picks(first_frame, picture) == []


def test_regions_are_connected_parts():
    """Against SciPy's labels of four-connected parts, on pictures of one colour."""
    stands_out = torch.rand(6, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.4
    regions = connected(torch.zeros(6, 1, 12, 12), stands_out, link=0.1)
    for found, shown in zip(regions, stands_out, strict=True):
        true, count = ndimage.label(shown.numpy())
        assert (found.numpy() > 0).tolist() == (true > 0).tolist()
        for part in range(1, count + 1):
            assert len(set(found.numpy()[true == part].tolist())) == 1
        assert len(set(found[found > 0].tolist())) == count


def test_picked_slots_are_placed_the_background_is_everywhere_and_the_rest_is_free(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 0:3, 4:7] = RED
    start = first_frame(features_of(picture))
    assert start.places is not None
    assert start.places.centres[0, 1].tolist() == pytest.approx([0.375, -0.625])
    assert start.places.is_placed.tolist() == [[False, True, False, False]]
    assert start.places.is_free.tolist() == [[False, False, True, True]]
    torch.testing.assert_close(start.slots[0, 2:], first_frame.free[1:])


def held_by(slot: int) -> torch.Tensor:
    """All attention of all tokens with one slot."""
    attention = torch.zeros(1, 4, 16)
    attention[0, slot] = 1.0
    return attention


def test_what_comes_later_gets_a_free_slot_where_it_is(first_frame: FirstFrameInitializer):
    start = first_frame(features_of(grey()))
    picture = grey()
    picture[0, 4:7, 4:7] = BLUE
    later = features_of(picture)
    admitted = first_frame.admit(start, later, held_by(0))
    assert admitted.places is not None
    assert admitted.places.is_free.tolist() == [[False, False, True, True]]
    assert admitted.places.centres[0, 1].tolist() == pytest.approx([0.375, 0.375])
    torch.testing.assert_close(admitted.slots[0, 1], first_frame.project(later.tokens[0, 0, 2 * 4 + 2]))
    torch.testing.assert_close(admitted.slots[0, 2:], start.slots[0, 2:])


def test_nobody_is_admitted_to_a_place_that_a_slot_holds_or_without_a_free_slot(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 4:7, 4:7] = BLUE
    later, start = features_of(picture), first_frame(features_of(grey()))
    assert torch.equal(first_frame.admit(start, later, held_by(3)).slots, start.slots)
    assert start.places is not None
    full = replace(start, places=replace(start.places, is_free=torch.zeros(1, 4, dtype=torch.bool)))
    assert torch.equal(first_frame.admit(full, later, held_by(0)).slots, start.slots)
    first_frame.newcomer_threshold = 0.0
    assert torch.equal(first_frame.admit(start, later, held_by(0)).slots, start.slots)


def test_a_slot_that_saw_nothing_for_long_is_given_away_and_the_background_never(first_frame: FirstFrameInitializer):
    picture = grey()
    picture[0, 4:7, 4:7] = BLUE
    later, start = features_of(picture), first_frame(features_of(grey()))
    assert start.places is not None
    for unseen, given_away in (([99, 10, 60, 50], 2), ([99, 10, 40, 20], None)):
        held = replace(
            start.places,
            is_free=torch.zeros(1, 4, dtype=torch.bool),
            is_placed=torch.tensor([[False, True, True, True]]),
            unseen=torch.tensor([unseen]),
            ages=torch.full((1, 4), 9),
        )
        after = first_frame.admit(replace(start, places=held), later, held_by(0))
        changed = (after.slots != start.slots).any(-1)[0].nonzero().flatten().tolist()
        assert changed == ([] if given_away is None else [given_away])
        assert after.places is not None
        assert after.places.ages[0].tolist() == [0 if slot == given_away else 9 for slot in range(4)]


def test_relative_thresholds_see_pale_pictures_like_vivid_ones():
    vivid = grey(1)
    vivid[0, 0:3, 0:3], vivid[0, 4:7, 4:7] = RED, BLUE
    pale = 0.5 + 0.4 * (vivid - 0.5)
    absolute = FirstFrameInitializer(num_slots=4, slot_dim=8, feature_dim=12)
    relative = FirstFrameInitializer(
        num_slots=4, slot_dim=8, feature_dim=12, is_relative=True, threshold=0.15, link=0.07
    )
    assert len(picks(absolute, pale)) < len(picks(absolute, vivid)) == 2
    assert len(picks(relative, pale)) == len(picks(relative, vivid)) == 2
    noise = 0.5 + 0.01 * torch.randn(1, *GRID, 3, generator=torch.Generator().manual_seed(0))
    assert picks(relative, noise) == []
