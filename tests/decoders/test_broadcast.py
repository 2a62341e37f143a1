"""Spatial broadcast decoders: what they rebuild, and from which grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from slotkeeper.decoders.broadcast import BroadcastDecoder, LightBroadcastDecoder
from slotkeeper.errors import ConfigError
from slotkeeper.types import Decoded, Features, SlotTrajectory

EVEN = torch.full((2, 1, 3, 4), 1 / 3)


def decoded(decoder: Any, size: tuple[int, int] = (16, 32), attention: torch.Tensor = EVEN) -> Decoded:
    slots = torch.randn(2, 1, 3, 8, generator=torch.Generator().manual_seed(0))
    trajectory = SlotTrajectory(corrected=slots, predicted=slots, attention=attention)
    features = Features(tokens=torch.zeros(2, 1, 4, 5), grid=(2, 2), colors=torch.zeros(2, 1, 3, 2, 2))
    with torch.no_grad():
        return decoder(trajectory, features, size)


@pytest.mark.parametrize("kind", [BroadcastDecoder, LightBroadcastDecoder])
@pytest.mark.parametrize(("target", "num_channels"), [("frames", 3), ("flow", 3), ("depth", 1), ("flow_and_depth", 4)])
def test_the_reconstruction_has_the_targets_channels(kind: Any, target: Any, num_channels: int):
    torch.manual_seed(0)
    made = decoded(kind(slot_dim=8, width=8, target=target))
    assert made.target == target
    assert made.reconstruction.shape == (2, 1, num_channels, 16, 32)
    assert (made.shown is None) == (target != "frames")
    torch.testing.assert_close((made.masks[:, :, :, None] * made.drawn).sum(2), made.reconstruction)


def test_flow_and_depth_are_parts_of_one_reconstruction():
    made = decoded(BroadcastDecoder(slot_dim=8, width=8, target="flow_and_depth"))
    both = torch.cat((made.rebuilt("flow"), made.rebuilt("depth")), dim=2)
    assert torch.equal(both, made.reconstruction)
    with pytest.raises(AssertionError, match="rebuilds flow_and_depth, not frames"):
        made.rebuilt("frames")


def test_colours_are_around_grey_and_other_targets_around_zero():
    for target, middle in (("frames", 0.5), ("depth", 0.0)):
        decoder = BroadcastDecoder(slot_dim=8, width=8, target=target)  # type: ignore[arg-type]
        torch.nn.init.zeros_(decoder.layers[-1].weight)
        torch.nn.init.zeros_(decoder.layers[-1].bias)
        made = decoded(decoder)
        torch.testing.assert_close(made.reconstruction, torch.full_like(made.reconstruction, middle))


@pytest.mark.parametrize(("num_doublings", "cells"), [(1, 16 * 8), (3, 4 * 2), (4, 2 * 1)])
def test_it_begins_on_a_grid_that_doublings_bring_to_the_frames_size(num_doublings: int, cells: int):
    decoder = BroadcastDecoder(slot_dim=8, width=8, num_doublings=num_doublings)
    seen: list[int] = []
    decoder.layers[0].register_forward_hook(lambda _, given, __: seen.append(given[0].shape[2] * given[0].shape[3]))
    assert decoded(decoder).masks.shape[-2:] == (16, 32)
    assert seen == [cells]


def test_sizes_that_doublings_cannot_reach_are_refused():
    with pytest.raises(ConfigError, match=r"height and width that 16 divides, got 16x24; the nearest is 16x32"):
        decoded(BroadcastDecoder(slot_dim=8, num_doublings=4), (16, 24))
    with pytest.raises(ConfigError, match=r"decoder\.num_doublings must lie between 1 and 4, got 5"):
        BroadcastDecoder(slot_dim=8, num_doublings=5)
    with pytest.raises(ConfigError, match=r"decoder\.num_layers must be at least 1, got 0"):
        LightBroadcastDecoder(slot_dim=8, num_layers=0)


@pytest.mark.parametrize("decoder", [BroadcastDecoder, LightBroadcastDecoder])
def test_a_decoder_without_width_is_refused(decoder: type[BroadcastDecoder | LightBroadcastDecoder]):
    with pytest.raises(ConfigError, match=r"decoder\.width must be at least 1, got 0"):
        decoder(slot_dim=8, width=0)


@pytest.mark.parametrize("kind", [BroadcastDecoder, LightBroadcastDecoder])
def test_with_attention_weight_slots_draw_where_they_look(kind: Any):
    """And frames that nobody has seen can't be drawn."""
    torch.manual_seed(0)
    looked = torch.zeros_like(EVEN)
    looked[..., 0, :2], looked[..., 2, 2:] = 1, 1
    plain, led = (kind(slot_dim=8, width=8, attention_weight=weight) for weight in (0.0, 1.0))
    led.load_state_dict(plain.state_dict())
    assert plain.draws_unseen
    assert not led.draws_unseen
    even, seen = decoded(led), decoded(led, attention=looked)
    torch.testing.assert_close(even.masks, decoded(plain, attention=looked).masks)
    assert (seen.masks[:, :, 0, :4] > 0.95).all()
    assert (seen.masks[:, :, 2, -4:] > 0.95).all()
    torch.testing.assert_close(seen.pictures, even.pictures)
    with pytest.raises(ConfigError, match="attention_weight must be at least 0 and finite, got inf"):
        kind(slot_dim=8, attention_weight=float("inf"))
