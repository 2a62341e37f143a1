"""Positions on a grid, and what can be made of them. Grids are made once for each size: nobody may change them."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

_NUM_KEPT = 32


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)  # what tracking makes first, training may need later
def position_grid(height: int, width: int, device: torch.device | None = None) -> Float[Tensor, "h w 2"]:
    """Centres of the cells as (x, y) in [-1, 1], the two-channel form of SAVi; row-major."""
    rows = (torch.arange(height, device=device) + 0.5) * (2.0 / height) - 1.0
    columns = (torch.arange(width, device=device) + 0.5) * (2.0 / width) - 1.0
    grid_y, grid_x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((grid_x, grid_y), dim=-1)


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)
def quadratic_grid(height: int, width: int, device: torch.device | None = None) -> Float[Tensor, "h w 6"]:
    """`quadratic_basis` of the cells' centres."""
    return quadratic_basis(position_grid(height, width, device))


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)
def round_grid(height: int, width: int, device: torch.device | None = None) -> Float[Tensor, "4 n"]:
    """`round_basis` of the cells' centres, row-major."""
    return round_basis(position_grid(height, width, device).flatten(0, 1))


def quadratic_basis(positions: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape 6"]:
    """Monomials 1, x, y, x², xy, y² of positions: what a smooth patch of colour or a round window needs."""
    horizontal, vertical = positions.unbind(-1)
    return torch.stack(
        (torch.ones_like(horizontal), horizontal, vertical, horizontal**2, horizontal * vertical, vertical**2), dim=-1
    )


def round_basis(positions: Float[Tensor, "n 2"]) -> Float[Tensor, "4 n"]:
    """1, x, y and x² + y² of positions: what normal densities are made of, and the moments of masks."""
    horizontal, vertical = positions.unbind(-1)
    return torch.stack((torch.ones_like(horizontal), horizontal, vertical, horizontal**2 + vertical**2))
