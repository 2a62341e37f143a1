"""What the tracer needs so that one code runs on NumPy arrays and on torch tensors of any device.

Both libraries know most operations by the same names; `namespace` gives the one that an array belongs to. Numbers in
such code are Python's, which take the array's precision in both.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped

Array: TypeAlias = Any
"""`np.ndarray` or `torch.Tensor`; in one call all are of one kind, tensors also of one device."""


def namespace(array: Array) -> Any:
    """`numpy` or `torch`."""
    return torch if isinstance(array, torch.Tensor) else np


def nonzero(mask: Bool[Array, " m"]) -> Int[Array, " q"]:
    """Where a mask is true, ascending."""
    return mask.nonzero().squeeze(1) if isinstance(mask, torch.Tensor) else np.flatnonzero(mask)


def pick(values: Shaped[Array, "*axes f"], chosen: Int[Array, " m"]) -> Shaped[Array, "*axes m"]:
    """`values[..., chosen]`, on a way that is several times faster in both."""
    return values.index_select(-1, chosen) if isinstance(values, torch.Tensor) else values.take(chosen, axis=-1)


def at(values: Shaped[Array, "*axes f"], moment: Int[Array, " m"]) -> Shaped[Array, "*axes g"]:
    """Values at some moments; those that never change (f = 1) stay as they are and are left to broadcasting."""
    return values if values.shape[-1] == 1 else pick(values, moment)


def single(array: Array) -> Array:
    """The same in float32."""
    xp = namespace(array)
    return xp.asarray(array, dtype=xp.float32)
