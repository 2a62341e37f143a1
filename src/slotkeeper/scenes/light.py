"""The light as the tracer takes it: one soft directional light, made of a few directions over its disc."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

SHADOW_RAYS = 6
LIGHT_SPREAD = float(np.float32(0.09))


def light_axes(light: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Orthonormal rows: two across the light, one towards it."""
    across = np.cross(light, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    axes: Float[np.ndarray, "3 3"] = np.stack([across, np.cross(across, light), light]).astype(np.float32)
    return axes


def light_directions(light: Float[np.ndarray, "3"]) -> Float[np.ndarray, "l 3"]:
    """Unit vectors spread over the light's disc; shadows are soft since these differ."""
    across, above, _ = light_axes(light).astype(np.float64)
    angle = np.arange(SHADOW_RAYS) * np.pi * (3 - np.sqrt(5))
    spread = np.float32(LIGHT_SPREAD) * np.sqrt((np.arange(SHADOW_RAYS) + 0.5) / SHADOW_RAYS)
    spread_light = light + (spread * np.cos(angle))[:, None] * across + (spread * np.sin(angle))[:, None] * above
    lengths = np.linalg.norm(spread_light, axis=1, keepdims=True)
    directions: Float[np.ndarray, "l 3"] = (spread_light / lengths).astype(np.float32)
    return directions


def linear_colour(colour: tuple[int, int, int]) -> Float[np.ndarray, "3"]:
    """Display colour (0 to 255) to linear light in [0, 1], gamma 2."""
    linear: Float[np.ndarray, "3"] = (np.asarray(colour, dtype=np.float32) / 255) ** 2
    return linear
