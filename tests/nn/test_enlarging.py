"""Enlargement by matrix products."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from slotkeeper.nn.enlarging import enlarged


@pytest.mark.parametrize("source", [(8, 8), (4, 6), (1, 3)])
@pytest.mark.parametrize("size", [(64, 64), (48, 20), (8, 9)])
def test_it_is_bilinear_interpolation(source: tuple[int, int], size: tuple[int, int]) -> None:
    pictures = torch.rand(3, 2, *source, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(pictures, size, mode="bilinear", align_corners=False)
    assert torch.allclose(enlarged(pictures, size), expected, atol=1e-6)


def test_what_tracking_made_first_training_can_use() -> None:
    with torch.inference_mode():
        enlarged(torch.rand(1, 1, 7, 5), (21, 30))
    pictures = torch.rand(1, 1, 7, 5).requires_grad_()
    enlarged(pictures, (21, 30)).sum().backward()
    assert pictures.grad is not None


def test_it_is_in_float32_whatever_the_default_is() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        made = enlarged(torch.rand(1, 1, 5, 3), (11, 13))
    finally:
        torch.set_default_dtype(torch.float32)
    assert made.dtype == torch.float32
    assert enlarged(torch.rand(1, 1, 5, 3), (11, 13)).dtype == torch.float32
