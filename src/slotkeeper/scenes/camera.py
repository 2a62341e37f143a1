"""A pinhole camera on a path: rays through pixels, and points back to pixels.

World: x to the right, y away from the camera of azimuth 0, z up, floor at z = 0. Pixel (row i, column j) has its
centre at (j + 0.5, i + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from slotkeeper.scenes.arrays import Array, namespace, pick, single

LOOK_AT_HEIGHT = 0.6


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where the camera is in each frame.

    eyes: position. axes: rows are right, down and forward, orthonormal. focal: in picture widths. aspect: the picture's
    height over its width. Everything is in NumPy arrays, or in tensors of one device.
    """

    eyes: Float[Array, "t 3"]
    axes: Float[Array, "t 3 3"]
    focal: float
    aspect: float = 1.0

    def picture(self, size: int) -> tuple[int, int]:
        """Height and width in pixels of a picture `size` pixels wide; the height is even."""
        return 2 * round(size * self.aspect / 2), size

    def directions(
        self, frame: Int[Array, " m"], columns: Float[Array, " m"], rows: Float[Array, " m"]
    ) -> Float[Array, "3 m"]:
        """World directions through picture points in [0, 1]; their forward component is 1, so lengths are depths."""
        xp = namespace(columns)
        right, down = (columns - 0.5) / self.focal, (rows - 0.5) * self.aspect / self.focal
        axes = xp.moveaxis(single(self.axes), 0, -1)
        across, below, ahead = (pick(axis, frame) for axis in axes)
        return across * right + below * down + ahead

    def grid_directions(self, frames: Int[Array, " t"], size: int) -> Float[Array, "3 m"]:
        """`directions` through the centres of all pixels, flat over (time, row, column), time slowest."""
        xp = namespace(self.axes)
        rows, columns = (
            (single(xp.arange(pixels, device=self.axes.device)) + 0.5) / pixels for pixels in self.picture(size)
        )
        axes = single(self.axes[frames])[:, :, :, None, None]
        right = ((columns - 0.5) / self.focal)[None, :]
        down = ((rows - 0.5) * self.aspect / self.focal)[:, None]
        world = [axes[:, 0, i] * right + axes[:, 1, i] * down + axes[:, 2, i] for i in range(3)]
        return xp.stack(world).reshape(3, -1)

    def project(
        self, frame: Int[Array, " m"], points: Float[Array, "3 m"]
    ) -> tuple[Float[Array, " m"], Float[Array, " m"], Float[Array, " m"]]:
        """Picture columns and rows in [0, 1] where visible, and depth (negative behind the camera)."""
        offset = points - pick(self.eyes.T, frame)
        axes = namespace(points).moveaxis(self.axes, 0, -1)
        right, down, forward = (sum(pick(axes[a, i], frame) * offset[i] for i in range(3)) for a in range(3))
        rows = 0.5 + self.focal * down / forward / self.aspect
        return 0.5 + self.focal * right / forward, rows, forward


def orbit(
    *,
    distance: Float[np.ndarray, " t"],
    elevation: Float[np.ndarray, " t"],
    azimuth: Float[np.ndarray, " t"],
    field_of_view: float,
    aspect: float,
) -> Camera:
    """A camera that looks at one point of the scene.

    distance: units; elevation, azimuth: degrees; one value per frame. field_of_view: degrees, across the picture.
    """
    up, around = np.radians(elevation), np.radians(azimuth)
    flat = np.cos(up)
    offset = np.stack([np.sin(around) * flat, -np.cos(around) * flat, np.sin(up)], axis=1)
    forward = -offset
    right = np.stack([np.cos(around), np.sin(around), np.zeros_like(around)], axis=1)
    down = np.cross(forward, right)
    eyes = np.array([0.0, 0.0, LOOK_AT_HEIGHT]) + distance[:, None] * offset
    focal = 0.5 / float(np.tan(np.radians(field_of_view) / 2))
    return Camera(eyes=eyes, axes=np.stack([right, down, forward], axis=1), focal=focal, aspect=aspect)
