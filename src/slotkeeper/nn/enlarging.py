"""Bilinear enlargement by matrix products: for a few channels, several times faster than PyTorch's on a CPU."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_NUM_KEPT = 32


def enlarged(pictures: Float[Tensor, "m c y x"], size: tuple[int, int]) -> Float[Tensor, "m c h w"]:
    """What `interpolate` makes with mode "bilinear" and align_corners False, up to rounding; in float32."""
    rows = _weights(pictures.shape[-2], size[0], pictures.device)
    columns = _weights(pictures.shape[-1], size[1], pictures.device)
    with torch.autocast(pictures.device.type, enabled=False):
        return rows @ (pictures.float() @ columns.T)


@lru_cache(_NUM_KEPT)
@torch.inference_mode(False)  # what tracking makes first, training may need later
def _weights(number: int, wanted: int, device: torch.device) -> Float[Tensor, "wanted number"]:
    """Of each cell in each row of the enlarged picture; nobody may change them."""
    cells = torch.eye(number, dtype=torch.float32, device=device)[None]
    return functional.interpolate(cells, wanted, mode="linear", align_corners=False)[0].T.contiguous()
