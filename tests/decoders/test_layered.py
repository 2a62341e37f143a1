"""The layered decoder's polynomials follow their masks, and its masks follow attention and head start."""

from __future__ import annotations

import pytest
import torch

from slotkeeper.decoders.layered import LayeredDecoder, centred_basis, smoothed
from slotkeeper.nn.positions import position_grid, quadratic_basis
from slotkeeper.types import Features, SlotTrajectory


def test_centred_basis_is_the_basis_of_shifted_and_scaled_positions():
    positions = position_grid(12, 16)
    masks = torch.zeros(1, 1, 1, 12, 16)
    masks[..., 3:7, 8:14] = 1
    basis = quadratic_basis(positions)
    centre = positions[3:7, 8:14].mean((0, 1))
    spread = (positions[3:7, 8:14] - centre).square().sum(-1).mean().sqrt()
    expected = quadratic_basis((positions - centre) / spread)
    torch.testing.assert_close(basis @ centred_basis(masks, basis)[0, 0, 0].T, expected, rtol=1e-4, atol=1e-4)


def test_an_empty_mask_gives_finite_numbers():
    basis = quadratic_basis(position_grid(8, 8))
    assert centred_basis(torch.zeros(1, 1, 2, 8, 8), basis).isfinite().all()


def draw(attention: torch.Tensor, *, training: bool = False, **settings: float) -> torch.Tensor:
    """Mask logits `s h w` of one frame of 8 x 8 with attention `s 16`."""
    torch.manual_seed(0)
    decoder = LayeredDecoder(slot_dim=6, pixel_dim=4, num_background=1, **settings).train(training)  # type: ignore[arg-type]
    slots = torch.randn(1, 1, len(attention), 6)
    trajectory = SlotTrajectory(corrected=slots, predicted=slots, attention=attention[None, None])
    features = Features(
        tokens=torch.zeros(1, 1, 16, 5),
        grid=(4, 4),
        colors=torch.zeros(1, 1, 3, 8, 8),
        pixels=torch.randn(1, 1, 4, 8, 8),
    )
    return decoder.draw_masks(trajectory, features)[0, 0]


def test_a_slot_without_any_attention_draws_nothing():
    attention = torch.full((3, 16), 0.5)
    attention[2] = 0
    logits = draw(attention)
    assert logits[:2].isfinite().all()
    assert (logits[2] == -torch.inf).all()


@pytest.mark.parametrize(("training", "expected"), [(True, 3.0), (False, 1.0)])
def test_the_background_s_head_start_may_differ_in_evaluation(training: bool, expected: float):
    attention = torch.full((2, 16), 0.5)
    started = draw(attention, training=training, background_bias=3.0, test_background_bias=1.0)
    plain = draw(attention, training=training)
    torch.testing.assert_close(started - plain, torch.tensor([expected, 0.0])[:, None, None].expand(2, 8, 8))


def test_smooth_logits_are_binomial_means_and_single_pixels_lose_out():
    peak = torch.zeros(1, 1, 5, 5)
    peak[..., 2, 2] = 16
    expected = torch.tensor([1.0, 2, 1])[:, None] * torch.tensor([1.0, 2, 1])
    torch.testing.assert_close(smoothed(peak)[0, 0, 1:4, 1:4], expected)
    torch.testing.assert_close(smoothed(torch.full((1, 2, 4, 6), -7.0)), torch.full((1, 2, 4, 6), -7.0))
    attention = torch.full((3, 16), 0.5)
    torch.testing.assert_close(draw(attention, is_test_smooth=True), smoothed(draw(attention)[None])[0])
    torch.testing.assert_close(draw(attention, training=True, is_test_smooth=True), draw(attention, training=True))
