"""Colours that can be compared."""

from __future__ import annotations

import torch

from slotkeeper.nn.colors import weighted_colors


def test_black_has_no_direction_and_a_finite_gradient() -> None:
    colors = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.4, 0.0]]).requires_grad_()
    points = weighted_colors(colors, 1.0, 4.0)
    torch.testing.assert_close(points[1], torch.tensor([0.5, 0.4 / 0.6, 0.0, 0.6, 0.8, 0.0]))
    assert not points[0].any()
    (gradient,) = torch.autograd.grad(points.sum(), colors)
    assert gradient.isfinite().all()
