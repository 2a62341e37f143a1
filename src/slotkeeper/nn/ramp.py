"""Weights that rise in the course of a training."""

from __future__ import annotations


def risen(ramp: tuple[float, float], progress: float) -> float:
    """0 before the first of two shares of the training, 1 after the second, linear between them.

    >>> [risen((0.25, 0.75), share) for share in (0.1, 0.5, 0.9)]
    [0.0, 0.5, 1.0]
    """
    start, end = ramp
    return min(1.0, max(0.0, (progress - start) / (end - start)))
