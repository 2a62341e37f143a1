"""What goes from frame to frame: initial slots without recurrence, noise, cuts of the gradient, looking back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_model import NUM_SLOTS, SIZE, SLOT_DIM, model_with
from torch import Tensor

from slotkeeper.correctors.slot_attention import SlotAttention
from slotkeeper.initializers.gaussian import GaussianInitializer
from slotkeeper.initializers.learned import LearnedInitializer
from slotkeeper.model import SlotModel
from slotkeeper.predictors.transformer import TransformerPredictor
from slotkeeper.recurrence import Recurrence
from slotkeeper.types import Features, SlotState


def gaussian(**settings: Any) -> GaussianInitializer:
    torch.manual_seed(0)
    return GaussianInitializer(num_slots=NUM_SLOTS, slot_dim=SLOT_DIM, **settings)


def still(time: int = 4) -> Tensor:
    """A video of which all frames are the same."""
    return torch.rand(2, 1, 3, *SIZE, generator=torch.Generator().manual_seed(0)).expand(-1, time, -1, -1, -1)


def first_slots(model: SlotModel, seed: int | None = None) -> Tensor:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return model(still(), generator).trajectory.predicted


def test_without_recurrence_each_frame_is_seen_as_if_it_were_the_first():
    model = model_with(predictor=TransformerPredictor(slot_dim=SLOT_DIM), recurrence="frame").eval()
    with torch.no_grad():
        corrected = model(still()).trajectory.corrected
        torch.testing.assert_close(corrected[:, 3], corrected[:, 0])
        recurrent = model_with(predictor=TransformerPredictor(slot_dim=SLOT_DIM)).eval()(still()).trajectory.corrected
    assert not torch.allclose(recurrent[:, 3], recurrent[:, 0], atol=1e-2)


def test_without_recurrence_an_order_of_frames_means_nothing():
    model = model_with(recurrence="frame").eval()
    frames = torch.rand(1, 4, 3, *SIZE)
    with torch.no_grad():
        forwards, backwards = model(frames).decoded.masks, model(frames.flip(1)).decoded.masks
    torch.testing.assert_close(backwards.flip(1), forwards, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("test_noise", ["fixed", "frame"])
def test_noise_of_evaluation_is_private_and_the_same_each_time(test_noise: Any):
    model = model_with(gaussian(test_noise=test_noise), recurrence="frame").eval()
    before = torch.random.get_rng_state()
    slots = first_slots(model)
    assert torch.equal(slots, first_slots(model))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(slots[0], slots[1])
    is_same = torch.equal(slots[:, 0], slots[:, 1])
    assert is_same == (test_noise == "fixed")


@pytest.mark.parametrize(("noise_per", "is_shared"), [("video", True), ("frame", False)])
def test_noise_of_training_is_shared_by_a_video_or_fresh_in_each_frame(noise_per: Any, is_shared: bool):
    model = model_with(gaussian(noise_per=noise_per), recurrence="frame").train()
    slots = first_slots(model, seed=1)
    assert torch.equal(slots[:, 0], slots[:, 1]) == is_shared
    assert not torch.equal(slots[0], slots[1])
    assert torch.equal(slots, first_slots(model, seed=1))
    assert not torch.equal(slots, first_slots(model, seed=2))


def test_noise_of_training_does_not_depend_on_how_a_video_is_cut():
    model = model_with(gaussian(noise_per="frame"), recurrence="frame").train()
    whole = first_slots(model, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        state, first = model.advance(model.start(), still(1), generator)
        _, second = model.advance(state, still(3), generator)
    assert torch.equal(torch.cat((first.trajectory.predicted, second.trajectory.predicted), 1), whole)


@pytest.mark.parametrize("initializer", [GaussianInitializer, LearnedInitializer])
@pytest.mark.parametrize("is_trainable", [True, False])
def test_initial_slots_learn_or_stay(initializer: Any, is_trainable: bool):
    start = initializer(num_slots=NUM_SLOTS, slot_dim=SLOT_DIM, is_trainable=is_trainable)
    model = model_with(start, recurrence="frame").train()
    model(still(), torch.Generator().manual_seed(0)).decoded.reconstruction.square().mean().backward()
    moved = [parameter.grad is not None for parameter in start.parameters()]
    assert moved == [is_trainable] * len(moved)


@pytest.mark.parametrize(("bptt", "reaching"), [("full", {0, 1, 2, 3}), ("detach", {3}), (2, {2, 3})])
def test_gradients_through_time_are_cut_where_asked(bptt: Any, reaching: set[int]):
    recurrence = Recurrence(
        initializer=LearnedInitializer(num_slots=NUM_SLOTS, slot_dim=SLOT_DIM),
        corrector=SlotAttention(slot_dim=SLOT_DIM, feature_dim=8),
        predictor=TransformerPredictor(slot_dim=SLOT_DIM),
        bptt=bptt,
    )
    tokens = torch.randn(1, 4, 12, 8, requires_grad=True)
    features = Features(tokens=tokens, grid=(3, 4), colors=torch.rand(1, 4, 3, 3, 4))
    _, trajectory = recurrence.fold(SlotState(), features)
    trajectory.corrected[:, 3].square().sum().backward()
    assert tokens.grad is not None
    assert {index for index in range(4) if tokens.grad[0, index].abs().sum() > 0} == reaching


def test_the_predictor_learns_from_the_next_frame_although_gradients_are_cut():
    predictor = TransformerPredictor(slot_dim=SLOT_DIM)
    model = model_with(predictor=predictor, bptt="detach").train()
    model(still(2)).decoded.reconstruction[:, 1].square().mean().backward()
    assert all(parameter.grad is not None for parameter in predictor.parameters())


def test_post_norm_predictions_are_normalised_whatever_comes_in():
    predictor = TransformerPredictor(slot_dim=SLOT_DIM, norm="post")
    slots = 100 * torch.randn(2, NUM_SLOTS, SLOT_DIM)
    predicted = predictor(slots, torch.zeros(2, 4, 8))
    torch.testing.assert_close(predicted.mean(-1), torch.zeros(2, NUM_SLOTS), atol=1e-5, rtol=0)
    torch.testing.assert_close(predicted.var(-1, unbiased=False), torch.ones(2, NUM_SLOTS), atol=1e-3, rtol=0)


def test_posterior_masks_are_those_of_evaluation_alone_and_leave_the_reconstruction():
    frames = torch.rand(2, 3, 3, *SIZE)
    plain, model = model_with().eval(), model_with(posterior_sigma=0.1).eval()
    with torch.no_grad():
        decoded, seen = plain(frames).decoded, model(frames).decoded
        torch.testing.assert_close(seen.reconstruction, decoded.reconstruction)
        torch.testing.assert_close(seen.masks.sum(2), torch.ones_like(seen.masks[:, :, 0]))
        assert not torch.allclose(seen.masks, decoded.masks, atol=1e-3)
        state, steps = model.start(), []
        for frame in frames.unbind(1):
            state, output = model.step(state, frame)
            steps.append(output.decoded.masks)
        torch.testing.assert_close(torch.cat(steps, 1), seen.masks, rtol=1e-4, atol=1e-5)
        generator = torch.Generator().manual_seed(0)
        trained = model.train()(frames, generator).decoded.masks
        torch.testing.assert_close(trained, plain.train()(frames, generator.manual_seed(0)).decoded.masks)
