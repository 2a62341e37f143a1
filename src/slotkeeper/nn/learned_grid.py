"""A learned vector for each place of a picture, on grids of any size."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError


class LearnedGrid(nn.Module):
    """One vector per place of a grid (rows, columns), as in vision transformers (arXiv 2010.11929, section 3.1).

    On another grid the vectors are interpolated bilinearly between the places' centres, antialiased where there are
    fewer of them. They start normally distributed with the standard deviation width**-0.5.
    """

    def __init__(self, *, width: int, grid: tuple[int, int]):
        super().__init__()
        if min(grid) < 1:
            raise ConfigError(f"decoder.grid must be rows and columns of at least 1, got {list(grid)}")
        self.values = nn.Parameter(torch.randn(width, *grid) * width**-0.5)

    def forward(self, grid: tuple[int, int]) -> Float[Tensor, "n d"]:
        """The vectors of a grid in row-major order."""
        return resized_grid(self.values[None], grid)[0].flatten(1).transpose(0, 1)


def resized_grid(values: Float[Tensor, "m d rows columns"], grid: tuple[int, int]) -> Float[Tensor, "m d y x"]:
    """Values of places on another grid; the same values where it is the same grid."""
    if tuple(values.shape[2:]) == tuple(grid):
        return values
    shrinks = grid[0] < values.shape[2] or grid[1] < values.shape[3]
    return functional.interpolate(values.float(), grid, mode="bilinear", align_corners=False, antialias=shrinks)
