"""Colours that can be compared: things of one colour lie near each other in light and in shadow."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-24
"""Below it a squared length has no gradient, as a norm has none at zero."""
_DARKEST = 0.1
"""Added to the length, so that the directions of dark colours, which are noise, count less."""


def weighted_colors(
    colors: Float[Tensor, "*shape"], hue_weight: float, color_weight: float, *, dim: int = -1
) -> Float[Tensor, "*twice"]:
    """Points whose squared distance is the weighted sum of those of the colours' directions and of the colours.

    A direction, c / |c|, hardly changes with shading. dim: the axis of R, G and B, which becomes one of six.
    """
    squares = colors.square().sum(dim, keepdim=True)  # PyTorch's norm is many times slower over other axes
    lengths = squares.clamp_min(_TINY).sqrt()
    directions = colors / (lengths + _DARKEST)
    return torch.cat((directions * hue_weight**0.5, colors * color_weight**0.5), dim=dim)


def flow_colors(flow: Float[Tensor, "b t 2 h w"], full_speed: float) -> Float[Tensor, "b t 3 h w"]:
    """Flow as RGB in [0, 1]: the hue is its direction, the saturation its speed; what rests is white.

    As in SAVi's code, from HSV with a value of 1: hue (atan2(y, x) / pi + 1) / 2, so that what goes left is red, and
    down violet. flow: x and y in pixels. full_speed: share of the picture's diagonal from which on colours are full.
    """
    horizontal, vertical = flow.unbind(dim=2)
    diagonal = math.hypot(flow.shape[-2], flow.shape[-1])
    saturation = (torch.hypot(horizontal, vertical) / (full_speed * diagonal)).clamp(max=1)
    sextant = 3 * (torch.atan2(vertical, horizontal) / math.pi + 1)
    red = (sextant - 3).abs() - 1
    green, blue = 2 - (sextant - 2).abs(), 2 - (sextant - 4).abs()
    hue = torch.stack((red, green, blue), dim=2).clamp(0, 1)
    return 1 - saturation[:, :, None] * (1 - hue)
