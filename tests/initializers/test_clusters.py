"""First slots from clusters: what differs in looks or place begins in different slots."""

from __future__ import annotations

import pytest
import torch

from slotkeeper.errors import ConfigError
from slotkeeper.initializers.clusters import ClusterInitializer
from slotkeeper.types import Features

GRID = (8, 12)
RED, BLUE, GREY = (1.0, 0.1, 0.1), (0.1, 0.1, 1.0), (0.5, 0.5, 0.5)


def two_things(targets: bool = True) -> Features:
    """A red and a blue rectangle on grey; by `targets` a backbone saw the colours, else the tokens are."""
    picture = torch.tensor(GREY).repeat(*GRID, 1)
    picture[1:5, 1:5], picture[3:7, 7:11] = torch.tensor(RED), torch.tensor(BLUE)
    tokens = picture.view(1, 1, -1, 3)
    seen = torch.zeros_like(tokens) if targets else tokens
    return Features(
        tokens=seen,
        grid=GRID,
        colors=picture.permute(2, 0, 1)[None, None],
        targets=tokens if targets else None,
    )


def initializer(num_slots: int = 3, **settings: float) -> ClusterInitializer:
    torch.manual_seed(0)
    return ClusterInitializer(num_slots=num_slots, slot_dim=8, feature_dim=3, **settings)


@pytest.mark.parametrize("targets", [True, False])
def test_things_of_different_looks_are_clusters_of_their_own(targets: bool):
    features = two_things(targets)
    made = initializer(position_weight=0.1)
    clusters = made.clusters(made._described(features))[0].view(GRID)
    inside = clusters[2:4, 2:4].unique(), clusters[4:6, 8:10].unique(), clusters[-1, :3].unique()
    assert [len(labels) for labels in inside] == [1, 1, 1]
    assert len({int(labels) for labels in inside}) == 3


def test_slots_are_placed_on_their_clusters():
    features = two_things()
    made = initializer(position_weight=0.1)
    places = made(features).places
    assert places is not None
    label = int(made.clusters(made._described(features))[0].view(GRID)[2, 2])
    x, y = places.centres[0, label].tolist()
    assert (x, y) == pytest.approx((-0.5, -0.25), abs=0.1)
    assert 0.1 < float(places.spreads[0, label]) < 0.6


def test_more_slots_than_tokens_are_given_without_a_failure():
    tokens = torch.rand(2, 1, 4, 3)
    slots = initializer(num_slots=6)(Features(tokens=tokens, grid=(2, 2), colors=torch.rand(2, 1, 3, 2, 2))).slots
    assert slots.shape == (2, 6, 8)
    assert slots.isfinite().all()


def test_another_number_of_slots_begins_with_the_same_weights():
    made = initializer()
    more = made.with_num_slots(5)
    assert (made.num_slots, more.num_slots) == (3, 5)
    assert torch.equal(more.project.weight, made.project.weight)
    assert more(two_things()).slots.shape == (1, 5, 8)


@pytest.mark.parametrize("settings", [{"position_weight": -1.0}, {"num_rounds": -1}, {"num_rounds": 10**6}])
def test_settings_out_of_range_are_named(settings: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        initializer(**settings)
