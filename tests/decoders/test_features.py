"""Decoders of features: what is mixed before the last layer, grids of any size, masks that follow their slots."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from slotkeeper.decoders.features import FeatureDecoder
from slotkeeper.decoders.patch_mlp import PatchMlpDecoder
from slotkeeper.decoders.slot_mixer import SlotMixerDecoder
from slotkeeper.errors import ConfigError
from slotkeeper.types import Decoded, Features, SlotTrajectory

SLOT_DIM, TARGET_DIM, GRID = 8, 5, (3, 4)
KINDS: list[type[Any]] = [PatchMlpDecoder, SlotMixerDecoder]


def decoder(kind: type[Any], **settings: Any) -> FeatureDecoder:
    torch.manual_seed(0)
    sizes = {"slot_dim": SLOT_DIM, "target_dim": TARGET_DIM, "grid": GRID, "hidden_dim": 16, "num_layers": 2}
    made: FeatureDecoder = kind(**sizes | settings).eval()
    return made


def slots_of(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 4, SLOT_DIM, generator=torch.Generator().manual_seed(seed))


def decoded(
    made: FeatureDecoder, slots: Tensor, grid: tuple[int, int] = GRID, attention: Tensor | None = None
) -> Decoded:
    """attention: `b t s n`; None where all slots look everywhere alike."""
    batch, time = slots.shape[:2]
    num_tokens = grid[0] * grid[1]
    if attention is None:
        attention = torch.full((*slots.shape[:3], num_tokens), 0.25)
    trajectory = SlotTrajectory(corrected=slots, predicted=slots, attention=attention)
    features = Features(
        tokens=torch.zeros(batch, time, num_tokens, 1), grid=grid, colors=torch.zeros(batch, time, 3, *grid)
    )
    result: Decoded = made(trajectory, features, (8 * grid[0], 8 * grid[1]))
    return result


def test_patch_mlp_is_the_mask_weighted_sum_of_what_its_mlp_makes_of_slot_plus_position():
    made = decoder(PatchMlpDecoder)
    slots = slots_of()
    placed = slots[:, :, :, None] + made.positions.values.flatten(1).transpose(0, 1)
    hidden = made.layers(made.enter(placed))
    masks = made.mask(hidden).softmax(dim=2)
    expected = (masks * made.features(hidden)).sum(dim=2).transpose(2, 3).unflatten(3, GRID)
    result = decoded(made, slots)
    torch.testing.assert_close(result.reconstruction, expected)
    torch.testing.assert_close(result.masks, masks[..., 0].unflatten(3, GRID))


def test_similarities_of_patch_mlp_are_mixed_by_the_masks_too():
    made = decoder(PatchMlpDecoder, has_similarities=True)
    slots = slots_of()
    placed = slots[:, :, :, None] + made.positions.values.flatten(1).transpose(0, 1)
    hidden = made.layers(made.enter(placed))
    expected = (made.mask(hidden).softmax(dim=2) * made.similarities(hidden)).sum(dim=2)
    torch.testing.assert_close(decoded(made, slots).similarities, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_follow_their_slots_and_the_whole_does_not_depend_on_their_order(kind: type[Any]):
    made = decoder(kind)
    order = [2, 0, 3, 1]
    first, second = decoded(made, slots_of()), decoded(made, slots_of()[:, :, order])
    torch.testing.assert_close(second.masks, first.masks[:, :, order])
    torch.testing.assert_close(second.reconstruction, first.reconstruction)


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_weight_masks_are_multiplied_by_that_power_of_the_attention(kind: type[Any]):
    attention = torch.rand(2, 3, 4, GRID[0] * GRID[1], generator=torch.Generator().manual_seed(3)).softmax(dim=2)
    without, with_weight = (
        decoded(decoder(kind, attention_weight=weight), slots_of(), attention=attention).masks for weight in (0.0, 2.0)
    )
    torch.testing.assert_close(without, decoded(decoder(kind), slots_of()).masks)
    weighted = without * attention.square().unflatten(3, GRID)
    torch.testing.assert_close(with_weight, weighted / weighted.sum(dim=2, keepdim=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_place_draws_with_its_own_position(kind: type[Any]):
    result = decoded(decoder(kind), slots_of())
    assert result.reconstruction.flatten(3).std(dim=3).min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", [(1, 2), (5, 7), (6, 8)])
def test_any_grid_works_and_a_place_halfway_lies_between_its_neighbours(kind: type[Any], grid: tuple[int, int]):
    made = decoder(kind, has_similarities=True)
    result = decoded(made, slots_of(), grid)
    assert result.masks.shape == (2, 3, 4, *grid)
    assert result.reconstruction.shape == (2, 3, TARGET_DIM, *grid)
    assert result.similarities is not None
    assert result.similarities.shape == (2, 3, grid[0] * grid[1], grid[0] * grid[1])
    corner = made.positions.values[:, 0, 0]
    torch.testing.assert_close(made.positions(GRID)[0], corner)
    if grid == (6, 8):  # twice as fine: the first centre lies outside all learned ones, the second a quarter inward
        expected = 0.75 * corner + 0.25 * made.positions.values[:, 0, 1]
        torch.testing.assert_close(made.positions(grid)[0], corner)
        torch.testing.assert_close(made.positions(grid)[1], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slot_mixer_draws_once_where_a_patch_mlp_draws_for_every_slot(kind: type[Any]):
    seen: list[int] = []
    made = decoder(kind)
    made.layers.register_forward_hook(lambda _module, _inputs, hidden: seen.append(hidden[..., 0].numel()))
    decoded(made, slots_of())
    num_places = 2 * 3 * GRID[0] * GRID[1]
    assert seen == [num_places if kind is SlotMixerDecoder else 4 * num_places]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_dim": 0}, "pretrained backbone"),
        ({"grid": (0, 4)}, "decoder.grid must be"),
        ({"hidden_dim": 0}, "decoder.hidden_dim must be at least 1"),
        ({"num_layers": 0}, "decoder.num_layers must be at least 1"),
        ({"attention_weight": -1.0}, "decoder.attention_weight must be at least 0"),
    ],
)
def test_wrong_settings_are_named(kind: type[Any], settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        decoder(kind, **settings)


def test_heads_of_a_slot_mixer_divide_its_slots():
    with pytest.raises(ConfigError, match="num_heads must divide slot_dim 8, got 3"):
        decoder(SlotMixerDecoder, num_heads=3)
