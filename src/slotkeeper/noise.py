"""Random numbers of videos: what is drawn for one doesn't depend on the batch, or on how it is split over processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SPACING = 0x9E3779B97F4A7C15
"""Odd and without pattern (2**64 divided by the golden ratio), so that neighbouring seeds don't meet."""


class VideoNoise:
    """One stream of random numbers for each video of a batch, a function of that video's seed alone.

    Draws are made a row for each video; those that follow one another differ. device: where they are made; another
    kind of device draws other numbers. Elsewhere than on the CPU that is for draws too many to be moved.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | None = None):
        self._seeds = tuple(seeds)
        self._device = device or torch.device("cpu")
        self._generators: list[torch.Generator] | None = None

    def normal(self, *shape: int) -> Float[Tensor, "b ..."]:
        """Of mean 0 and variance 1; `shape` is that of one video."""
        return self._drawn(lambda generator: torch.randn(shape, generator=generator, device=self._device))

    def uniform(self, *shape: int) -> Float[Tensor, "b ..."]:
        """In [0, 1)."""
        return self._drawn(lambda generator: torch.rand(shape, generator=generator, device=self._device))

    def integers(self, limit: int, *shape: int) -> Int[Tensor, "b ..."]:
        """From 0 to `limit` - 1."""
        return self._drawn(lambda generator: torch.randint(limit, shape, generator=generator, device=self._device))

    def _drawn(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        if self._generators is None:  # most models draw nothing
            self._generators = [torch.Generator(self._device).manual_seed(seed) for seed in self._seeds]
        return torch.stack([draw(generator) for generator in self._generators])


def draw_seeds(num_videos: int, generator: torch.Generator | None = None) -> tuple[int, ...]:
    """A seed for each video, one after the other: the first ones don't depend on how many follow.

    generator: None for the global one.
    """
    device = "cpu" if generator is None else generator.device
    return tuple(torch.randint(2**62, (num_videos,), generator=generator, device=device).tolist())


def spread_seeds(seeds: Sequence[int], index: int) -> tuple[int, ...]:
    """Other seeds for another `index`, a function of both."""
    return tuple((seed + (index + 1) * _SPACING) % 2**63 for seed in seeds)


def given_or_fresh(noise: VideoNoise | None, num_videos: int) -> VideoNoise:
    """The noise that is given, or some from the global generator."""
    return noise if noise is not None else VideoNoise(draw_seeds(num_videos))


def dropped(values: Float[Tensor, "b ..."], share: float, noise: VideoNoise) -> Float[Tensor, "b ..."]:
    """Dropout: this share of all values becomes 0, the rest grows to make up for it."""
    is_kept = noise.uniform(*values.shape[1:]) >= share
    return values * (is_kept.to(values) / (1 - share))
