"""A predictor that sees the next frame: what it looks at, and what it learns from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.noise import VideoNoise
from slotkeeper.predictors.slot_feature import SlotFeaturePredictor, draw_ages
from slotkeeper.types import PastFrames

BATCH, NUM_SLOTS, SLOT_DIM, NUM_TOKENS, FEATURE_DIM = 64, 3, 8, 5, 8


def predictor(window: int = 5) -> SlotFeaturePredictor:
    torch.manual_seed(0)
    return SlotFeaturePredictor(slot_dim=SLOT_DIM, feature_dim=FEATURE_DIM, window=window, hidden_dim=16)


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_in_evaluation_only_the_latest_slots_and_the_next_frame_count():
    model = predictor().eval()
    slots, tokens = values(2, NUM_SLOTS, SLOT_DIM), values(2, NUM_TOKENS, FEATURE_DIM)
    past = PastFrames(slots=values(2, 4, NUM_SLOTS, SLOT_DIM), tokens=values(2, 4, NUM_TOKENS, FEATURE_DIM))
    alone = model(slots, tokens)
    torch.testing.assert_close(model(slots, tokens, past), alone)
    assert not torch.allclose(model(slots, tokens + 1.5 * torch.randn_like(tokens)), alone, atol=1e-2)


def test_slots_keep_their_places_and_the_order_of_tokens_means_nothing():
    model = predictor().eval()
    slots, tokens = values(2, NUM_SLOTS, SLOT_DIM), values(2, NUM_TOKENS, FEATURE_DIM)
    predicted = model(slots, tokens)
    torch.testing.assert_close(model(slots.flip(1), tokens).flip(1), predicted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(slots, tokens.flip(1)), predicted, rtol=1e-4, atol=1e-5)


def test_ages_reach_from_one_frame_to_all_that_are_known():
    ages = draw_ages(3, VideoNoise(range(4000)))
    assert ages[:, 0].unique(return_counts=True)[0].tolist() == [1, 2, 3]
    assert ages[:, 1].unique(return_counts=True)[0].tolist() == [0, 1, 2]
    shares = [(ages == torch.tensor(pair)).all(1).float().mean().item() for pair in ((1, 0), (3, 2), (1, 2))]
    assert shares == pytest.approx([1 / 9] * 3, abs=0.02)  # slots and tokens are drawn apart


class _Record(nn.Module):
    """Stands for the transformer layer and keeps what it was given."""

    def forward(self, queries: Tensor, seen: Tensor, noise: VideoNoise) -> Tensor:
        self.queries, self.seen = queries, seen
        return queries


def test_in_training_slots_and_tokens_are_those_of_the_ages_they_are_marked_with():
    model = predictor().train()
    model.layer = _Record()
    with torch.no_grad():  # frames 0, 1 and 2 are past, 3 is next; values are frame numbers, marks hundreds of ages
        model.ages.weight.copy_(100.0 * torch.arange(5)[:, None].expand(5, SLOT_DIM))
        model.project.weight.copy_(torch.eye(SLOT_DIM))
        model.project.bias.zero_()
    frames = torch.arange(3.0).reshape(1, 3, 1, 1)
    past = PastFrames(
        slots=frames.expand(BATCH, 3, NUM_SLOTS, SLOT_DIM), tokens=frames.expand(BATCH, 3, NUM_TOKENS, FEATURE_DIM)
    )
    following = torch.full((BATCH, NUM_TOKENS, FEATURE_DIM), 3.0)
    model(past.slots[:, -1], following, past, VideoNoise(range(BATCH)))
    assert set(model.layer.queries.unique().tolist()) == {102.0, 201.0, 300.0}
    assert set(model.layer.seen.unique().tolist()) == {3.0, 102.0, 201.0}


def test_no_gradient_flows_through_time_or_into_the_encoder():
    model = predictor().train()
    slots = values(2, NUM_SLOTS, SLOT_DIM).requires_grad_()
    tokens = values(2, NUM_TOKENS, FEATURE_DIM).requires_grad_()
    model(slots, tokens, PastFrames(slots=slots[:, None], tokens=tokens[:, None])).square().sum().backward()
    assert slots.grad is None
    assert tokens.grad is None
    assert model.project.weight.grad is not None


def test_a_window_of_one_frame_has_no_pairs():
    with pytest.raises(ConfigError, match=r"predictor\.window must be at least 2"):
        predictor(window=1)
