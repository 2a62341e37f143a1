"""The floor's colour at every point: plain grey, or a procedural checker with smooth noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from slotkeeper.scenes.arrays import Array, at, namespace

PLAIN_GREY = 0.3
FULL_DISTANCE, FADED_DISTANCE = 8.0, 18.0


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Two linear colours and how they mix; a plain floor has the same colour twice.

    checker_size: edge of a square in units. angle: of the pattern, radians. waves: rows of (x, y frequency, phase,
    weight) whose sum is the noise. checker_share: 0 is noise only, 1 is checker only.
    """

    first: Float[np.ndarray, "3"]
    second: Float[np.ndarray, "3"]
    checker_size: float = 1.0
    angle: float = 0.0
    checker_share: float = 0.0
    waves: Float[np.ndarray, "n 4"] | None = None


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The floors at the moments of a stage, in float32; cos, sin: of the pattern's angle."""

    first: Float[Array, "3 f"]
    second: Float[Array, "3 f"]
    checker_size: Float[Array, " f"]
    cos: Float[Array, " f"]
    sin: Float[Array, " f"]
    checker_share: Float[Array, " f"]
    waves: Float[Array, "n 4 f"] | None

    def colour_at(
        self,
        moment: Int[Array, " m"],
        right: Float[Array, " m"],
        away: Float[Array, " m"],
        distance: Float[Array, " m"],
    ) -> Float[Array, "3 m"]:
        """Linear RGB at ground points; the pattern fades with their distance from the eye, where it would alias."""
        xp = namespace(right)
        first = at(self.first, moment)
        if self.waves is None:
            return first + xp.zeros_like(right)
        cos, sin = at(self.cos, moment), at(self.sin, moment)
        along, across = cos * right + sin * away, cos * away - sin * right
        size = at(self.checker_size, moment)
        squares = xp.floor(along / size) + xp.floor(across / size)
        mix = at(self.checker_share, moment) * (squares % 2)
        for wave in self.waves:
            wave_x, wave_y, phase, weight = (at(part, moment) for part in wave)
            mix += weight * xp.sin(wave_x * along + wave_y * across + phase)
        contrast = ((FADED_DISTANCE - distance) / (FADED_DISTANCE - FULL_DISTANCE)).clip(0, 1)
        mix = 0.5 + (mix.clip(0, 1) - 0.5) * contrast
        return first + (at(self.second, moment) - first) * mix


def plain_floor() -> Floor:
    """The grey floor that all videos of a plain family share."""
    grey = np.full(3, PLAIN_GREY)
    return Floor(first=grey, second=grey)


def textured_floor(generator: np.random.Generator) -> Floor:
    """Checker, noise or both, in two muted colours."""
    base = generator.uniform(0.12, 0.45)
    first = base * generator.uniform(0.8, 1.2, size=3)
    second = base * generator.uniform(0.35, 0.7) * generator.uniform(0.8, 1.2, size=3)
    frequency = generator.uniform(0.8, 5.0, size=8)
    heading = generator.uniform(0, 2 * np.pi, size=8)
    waves = np.stack(
        [
            frequency * np.cos(heading),
            frequency * np.sin(heading),
            generator.uniform(0, 2 * np.pi, size=8),
            generator.uniform(0.1, 0.3, size=8),
        ],
        axis=1,
    )
    return Floor(
        first=first,
        second=second,
        checker_size=float(generator.uniform(0.7, 1.6)),
        angle=float(generator.uniform(0, np.pi / 2)),
        checker_share=float(generator.choice([0.0, 0.6, 0.9])),
        waves=waves,
    )
