"""Numbers of weights by the shapes of layers, to compare models with published ones."""

from __future__ import annotations

from itertools import pairwise


def linear(*widths: int, bias: bool = True) -> int:
    """Linear layers one after the other."""
    return sum((before + bias) * after for before, after in pairwise(widths))


def convolution(before: int, after: int, kernel: int, *, bias: bool = True) -> int:
    """A square kernel."""
    return (kernel**2 * before + bias) * after


def norm(width: int) -> int:
    """A layer norm, or a group norm."""
    return 2 * width
