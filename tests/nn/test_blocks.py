"""Layers that compute the same as PyTorch's, faster on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slotkeeper.nn.blocks import Convolution, GroupNorm


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
