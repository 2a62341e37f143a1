"""What is fast computes what is plain: values, gradients and the course of a training."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from benchmarks.yardstick import PlainSavi, plain_loss
from plain_slot_attention import plain_slot_attention

from slotkeeper.build import build_model
from slotkeeper.config import load_config
from slotkeeper.correctors.slot_attention import SlotAttention
from slotkeeper.model import SlotModel
from slotkeeper.types import Features, PlacedSlots

CONFIG = Path(__file__).parents[2] / "configs" / "systems" / "savi_small.yaml"


def both() -> tuple[SlotModel, PlainSavi]:
    """The shipped config and the yardstick with the same weights."""
    torch.manual_seed(0)
    plain = PlainSavi()
    model = build_model(load_config(CONFIG))
    model.load_state_dict(plain.state_dict())
    return model.train(), plain


def moving_squares(batch: int, time: int, size: int) -> torch.Tensor:
    frames = torch.full((batch, time, 3, size, size), 0.2)
    for video in range(batch):
        for index in range(time):
            frames[video, index, video % 3, 2 + video : 6 + video, 1 + index : 6 + index] = 0.9
    return frames


def loss_of(model: SlotModel, frames: torch.Tensor) -> torch.Tensor:
    return (model(frames, torch.Generator().manual_seed(0)).decoded.reconstruction - frames).square().mean()


def test_the_small_savi_computes_what_the_yardstick_computes():
    model, plain = both()
    frames = moving_squares(2, 3, 16)
    ours, theirs = loss_of(model, frames), plain_loss(plain, frames)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    ours.backward()
    theirs.backward()
    known = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, known[name].grad, rtol=1e-3, atol=1e-7, msg=name)


def test_fifty_steps_of_training_take_the_same_course():
    model, plain = both()
    frames = moving_squares(1, 2, 8)
    curves: list[list[float]] = []
    for module, loss in ((model, loss_of), (plain, plain_loss)):
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
        curves.append([])
        for _ in range(50):
            optimizer.zero_grad()
            value = loss(module, frames)
            value.backward()
            optimizer.step()
            curves[-1].append(value.item())
    assert curves[0][-1] < 0.5 * curves[0][0]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_attention_without_keys_and_values_equals_the_paper_on_random_shapes(seed: int):
    generator = torch.Generator().manual_seed(seed)

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    batch, num_slots, side, slot_dim, feature_dim = drawn(1, 4), drawn(2, 9), drawn(1, 12), drawn(4, 40), drawn(3, 50)
    iterations = drawn(1, 5)
    torch.manual_seed(seed)
    module = SlotAttention(
        slot_dim=slot_dim, feature_dim=feature_dim, num_iterations_first=iterations, has_mlp=seed % 2 == 0
    )
    plain = copy.deepcopy(module)
    slots = torch.randn(batch, num_slots, slot_dim)
    tokens = torch.randn(batch, side**2, feature_dim)
    inputs = [[slots.clone().requires_grad_(), tokens.clone().requires_grad_()] for _ in range(2)]
    colors = torch.zeros(batch, 1, 3, side, side)
    features = module.prepare(Features(tokens=inputs[0][1][:, None], grid=(side, side), colors=colors))
    ours = module(PlacedSlots(slots=inputs[0][0]), features, is_first=True)[0].slots
    theirs = plain_slot_attention(plain, *inputs[1], iterations)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for mine, other in zip(inputs[0], inputs[1], strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-4)
    known = dict(plain.named_parameters())
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, known[name].grad, rtol=1e-3, atol=1e-4, msg=name)
