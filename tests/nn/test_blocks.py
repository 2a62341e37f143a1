"""Layers that compute the same as PyTorch's, faster on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from slotkeeper.nn.blocks import Convolution, GroupNorm, TransposedConvolution


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (4, 2)])
def test_single_small_frames_are_convolved_alike(layout: torch.memory_format, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    ours = Convolution(8, 16, kernel, stride=stride, padding=kernel // 2)
    plain = nn.Conv2d(8, 16, kernel, stride=stride, padding=kernel // 2)
    plain.load_state_dict(ours.state_dict())
    frame = torch.rand(1, 8, 16, 16).to(memory_format=layout)
    expected = plain(frame).detach()
    with torch.no_grad():
        assert torch.allclose(ours(frame), expected, atol=1e-6)
    assert torch.allclose(ours(frame), expected, atol=1e-6)
    assert ours(frame).requires_grad


def test_groups_are_normalised_in_float32_whatever_comes() -> None:
    torch.manual_seed(0)
    norm, picture = GroupNorm(4, 8), torch.randn(2, 8, 5, 5).bfloat16()
    assert norm(picture).dtype == torch.float32
    assert torch.allclose(norm(picture), nn.functional.group_norm(picture.float(), 4), atol=1e-5)


def test_a_transposed_convolution_has_the_values_and_gradients_of_pytorchs() -> None:
    torch.manual_seed(0)
    settings = {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}
    ours, plain = TransposedConvolution(3, 4, **settings), nn.ConvTranspose2d(3, 4, **settings)  # type: ignore[arg-type]
    plain.load_state_dict(ours.state_dict())
    picture = torch.randn(2, 3, 6, 5)
    for layer in (ours, plain):
        layer(picture).square().sum().backward()
    assert torch.allclose(ours(picture), plain(picture), atol=1e-6)
    for parameter, expected in zip(ours.parameters(), plain.parameters(), strict=True):
        assert parameter.grad is not None
        assert expected.grad is not None
        assert torch.allclose(parameter.grad, expected.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"padding": 1, "padding_mode": "reflect"}, (1, 3, 8, 8)),
        ({"padding": "same"}, (1, 3, 8, 8)),
        ({"padding": 1}, (3, 8, 8)),
        ({"padding": 1}, (0, 3, 8, 8)),
    ],
)
def test_what_onednn_is_not_asked_for_is_convolved_alike(settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    ours, plain = Convolution(3, 4, 3, **settings), nn.Conv2d(3, 4, 3, **settings)
    plain.load_state_dict(ours.state_dict())
    frame = torch.rand(shape)
    with torch.no_grad():
        assert torch.allclose(ours(frame), plain(frame), atol=1e-6)


def test_groups_of_a_model_in_double_precision_stay_in_it() -> None:
    norm, picture = GroupNorm(4, 8).double(), torch.randn(2, 8, 5, 5, dtype=torch.float64)
    assert torch.allclose(norm(picture), nn.functional.group_norm(picture, 4), rtol=0, atol=1e-12)
