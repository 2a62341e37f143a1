"""STEVE's encoder: where tokens lie."""

from __future__ import annotations

import pytest
import torch

from slotkeeper.encoders.steve import SteveEncoder
from slotkeeper.errors import ConfigError


@pytest.mark.parametrize(("stride", "grid"), [(1, (8, 12)), (2, (4, 6))])
def test_a_token_sees_its_own_place_and_not_much_around_it(stride: int, grid: tuple[int, int]):
    torch.manual_seed(0)
    encoder = SteveEncoder(width=4, feature_dim=6, stride=stride).eval()
    frames = torch.rand(1, 1, 3, 8, 12)
    changed = frames.clone()
    changed[..., :2, :2] = 1 - changed[..., :2, :2]
    features, state = encoder(frames)
    assert state is None
    assert features.grid == grid
    moved = (encoder(changed)[0].tokens - features.tokens).abs().amax(-1).view(grid)
    assert moved[0, 0] > 1e-4
    assert moved[0, -1] < 1e-6 or stride == 2  # four 5x5 kernels reach 8 pixels at stride 1


def test_frames_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ConfigError, match="the steve encoder needs a frame height and width that 2 divides, got 9x12"):
        SteveEncoder(width=4, feature_dim=6, stride=2)(torch.rand(1, 1, 3, 9, 12))
