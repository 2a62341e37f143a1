"""Sums over slots and colours, with gradients by hand."""

from __future__ import annotations

import pytest
import torch

from slotkeeper.nn.mixing import mixed, squared_errors


@pytest.mark.parametrize("seed", range(4))
def test_mixing_is_the_weighted_sum_with_autograds_gradients(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64).requires_grad_()
    pictures = torch.rand(2, 3, 4, seed + 1, 5, 6, generator=generator, dtype=torch.float64).requires_grad_()
    plain = (masks[:, :, :, None] * pictures).sum(dim=2)
    assert torch.allclose(mixed(masks, pictures), plain)
    assert torch.autograd.gradcheck(mixed, (masks, pictures), fast_mode=True)


@pytest.mark.parametrize("seed", range(4))
def test_squared_errors_are_sums_over_colours_with_autograds_gradients(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(2, 3, 4, seed + 1, 5, 6, generator=generator, dtype=torch.float64).requires_grad_()
    frames = torch.rand(2, 3, seed + 1, 5, 6, generator=generator, dtype=torch.float64).requires_grad_()
    plain = (pictures - frames[:, :, None]).square().sum(dim=3)
    assert torch.allclose(squared_errors(pictures, frames), plain)
    assert torch.autograd.gradcheck(squared_errors, (pictures, frames), fast_mode=True)
