"""Losses on features, on cases that are worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.losses.features import FeatureReconstruction, FeatureSimilarity
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput

TAU = 0.5


def output_of(targets: Tensor, rebuilt: Tensor | None = None, logits: Tensor | None = None) -> VideoOutput:
    """Of features `b t n f` on a grid of one row."""
    batch, time, num_tokens, _ = targets.shape
    whole = torch.zeros_like(targets) if rebuilt is None else rebuilt
    return VideoOutput(
        features=Features(
            tokens=torch.zeros(batch, time, num_tokens, 1),
            grid=(1, num_tokens),
            colors=torch.zeros(batch, time, 3, 1, num_tokens),
            targets=targets,
        ),
        trajectory=SlotTrajectory(
            corrected=torch.zeros(batch, time, 2, 1),
            predicted=torch.zeros(batch, time, 2, 1),
            attention=torch.full((batch, time, 2, num_tokens), 0.5),
        ),
        decoded=Decoded(
            target="features",
            reconstruction=whole.transpose(2, 3)[:, :, :, None],
            pictures=None,
            masks=torch.full((batch, time, 2, 1, num_tokens), 0.5),
            similarities=logits,
        ),
    )


def clip_of(targets: Tensor) -> Clip:
    batch, time = targets.shape[:2]
    return Clip(frames=torch.zeros(batch, time, 3, 8, 8), times=torch.zeros(batch, time))


def judged(loss: Any, targets: Tensor, **made: Tensor) -> Tensor:
    value: Tensor = loss(clip_of(targets), output_of(targets, **made), progress=0.5)
    return value


def similarity(**settings: Any) -> FeatureSimilarity:
    return FeatureSimilarity(**{"target_dim": 3, "has_similarities": True, "temperature": TAU} | settings)


X, Y, Z = torch.eye(3)
MOVED = torch.stack((torch.stack((X, Y, Z)), torch.stack((Z, X, Y))))[None]
"""Three things on three places, each a place further in the second frame."""


def test_reconstruction_is_the_mean_square_over_places_and_values():
    targets = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    rebuilt = torch.tensor([[[[1.0, 0.0], [3.0, 1.0]]]])
    assert judged(FeatureReconstruction(target_dim=2), targets, rebuilt=rebuilt).item() == pytest.approx(13 / 4)


def test_normalised_targets_have_mean_0_and_variance_1_within_each_token():
    targets = torch.tensor([[[[100.0, 300.0], [-1.0, 1.0]]]])
    rebuilt = torch.tensor([[[[-1.0, 1.0], [-1.0, 1.0]]]])
    loss = FeatureReconstruction(target_dim=2, is_normalized=True)
    assert judged(loss, targets, rebuilt=rebuilt).item() == pytest.approx(0, abs=1e-5)


def test_no_gradient_reaches_the_targets():
    targets = torch.randn(1, 2, 3, 3, requires_grad=True)
    guess = torch.randn(1, 2, 3, 3, requires_grad=True)
    judged(FeatureReconstruction(target_dim=3), targets, rebuilt=guess).backward()
    judged(similarity(), targets, logits=guess).backward()
    assert targets.grad is None
    assert guess.grad is not None


def test_a_place_is_sought_from_frame_t_in_frame_t_plus_1():
    sure, none = math.exp(1 / TAU), 1.0
    distribution = similarity().distributions(MOVED)[0, 0]
    expected = torch.tensor([[none, sure, none], [none, none, sure], [sure, none, none]]) / (sure + 2)
    torch.testing.assert_close(distribution, expected)


def test_the_loss_is_a_cross_entropy_whose_least_value_is_the_entropy_of_the_truth():
    truth = similarity().distributions(MOVED)
    logits = torch.cat((truth.log(), torch.randn(1, 1, 3, 3)), dim=1)  # nothing is foreseen from the last frame
    entropy = -(truth * truth.log()).sum(dim=-1).mean()
    least = judged(similarity(), MOVED, logits=logits)
    assert least.item() == pytest.approx(entropy.item(), rel=1e-5)
    even = judged(similarity(), MOVED, logits=torch.zeros(1, 2, 3, 3))
    assert even.item() == pytest.approx(math.log(3), rel=1e-5)
    assert even > least


def test_cosines_below_the_threshold_have_no_share():
    targets = torch.stack((torch.stack((X, X)), torch.stack((X, -X))))[None]
    torch.testing.assert_close(similarity().distributions(targets)[0, 0], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    low = similarity(threshold=-1.0).distributions(targets)[0, 0]
    assert low[0, 1].item() == pytest.approx(1 / (1 + math.exp(2 / TAU)), rel=1e-4)


def test_a_place_that_nothing_resembles_has_an_even_distribution():
    targets = torch.stack((torch.stack((X, Y)), torch.stack((-X, -X))))[None]
    distribution = similarity(threshold=0.5).distributions(targets)[0, 0]
    torch.testing.assert_close(distribution, torch.full((2, 2), 0.5))


def test_lengths_of_features_do_not_matter():
    torch.testing.assert_close(similarity().distributions(7 * MOVED), similarity().distributions(MOVED))


def test_two_frames_ahead_needs_three_frames():
    loss = similarity(num_frames_ahead=2)
    assert loss.min_frames == 3
    still = MOVED[:, [0, 1, 0]]
    torch.testing.assert_close(loss.distributions(still)[0, 0], similarity().distributions(MOVED[:, [0, 0]])[0, 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_dim": 0}, "pretrained backbone"),
        ({"has_similarities": False}, "model.decoder.has_similarities"),
        ({"temperature": 0.0}, "temperature"),
        ({"threshold": 2.0}, "threshold"),
        ({"num_frames_ahead": 0}, "num_frames_ahead"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        similarity(**settings)
