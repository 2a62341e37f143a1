"""One video of a family with its exact truth.

A pixel's label, depth and flow are those of the surface at the pixel's centre. Colours are averaged over num_samples x
num_samples points where the picture has an edge (of an object, a shadow, a highlight or the floor's pattern), and
taken at the centre elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from slotkeeper.errors import ConfigError
from slotkeeper.scenes.families import SceneFamily, find_family
from slotkeeper.scenes.physics import SceneObject
from slotkeeper.scenes.sampling import sample_scene
from slotkeeper.scenes.shading import shade
from slotkeeper.scenes.tracer import Scene, Visibility, camera_rays, first_hits, see

EDGE_CONTRAST = 0.03
_LARGEST_SIZE = 4096


@dataclass(frozen=True, kw_only=True)
class RenderedVideo:
    """A video and its truth.

    frames: RGB. segments: 0 is background, i is object i (objects[i - 1]) through the whole video. amodal: each
    object's whole outline, also where others hide it. depth: along the camera's axis, in units; the backdrop counts
    as `FAR_DEPTH`. flow: how far the surface point under a pixel moves until the next frame, right and down in pixels
    (the last frame's too, from one further step of physics).
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    segments: UInt8[np.ndarray, "t h w"]
    amodal: Bool[np.ndarray, "t k h w"]
    depth: Float[np.ndarray, "t h w"]
    flow: Float[np.ndarray, "t h w 2"]
    objects: tuple[SceneObject, ...]


def _edges(colour: Float[np.ndarray, "3 t h w"], owner: Int[np.ndarray, "t h w"]) -> Int[np.ndarray, " q"]:
    """Flat indices of pixels that differ from a neighbour above, below, left or right."""
    is_edge = np.zeros(owner.shape, np.bool_)
    for axis in (1, 2):
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        differs = owner[tuple(first)] != owner[tuple(second)]
        step = colour[(slice(None), *first)] - colour[(slice(None), *second)]
        differs |= np.abs(step).max(axis=0) > EDGE_CONTRAST
        is_edge[tuple(first)] |= differs
        is_edge[tuple(second)] |= differs
    return np.flatnonzero(is_edge)


def _supersample(
    scene: Scene, colour: Float[np.ndarray, "3 m"], edges: Int[np.ndarray, " q"], size: int, num_samples: int
) -> None:
    """Replace the edge pixels' colours by the mean over a grid of samples, in place."""
    height, width = scene.camera.picture(size)
    frame, rest = np.divmod(edges, height * width)
    row, column = np.divmod(rest, width)
    offsets = ((np.arange(num_samples) + 0.5) / num_samples).astype(np.float32)
    total = np.zeros((3, edges.size), np.float32)
    for down in offsets:
        for right in offsets:
            columns = (column.astype(np.float32) + right) / np.float32(width)
            rows = (row.astype(np.float32) + down) / np.float32(height)
            rays = camera_rays(scene, frame, columns, rows)
            total += shade(scene, rays, *first_hits(scene, rays))
    colour[:, edges] = total / np.float32(num_samples * num_samples)


def _flow(scene: Scene, seen: Visibility, size: int) -> Float[np.ndarray, "m 2"]:
    """Pixels that each visible point moves to the right and down until the next frame."""
    frame, after = seen.rays.frame, seen.rays.frame + 1
    points = seen.rays.origin.astype(np.float64) + seen.rays.direction * seen.distance.astype(np.float64)
    moved = points.copy()
    for index in range(len(scene.objects)):
        mine = np.flatnonzero(seen.owner == index + 1)
        centres, rotations = scene.motion.centres[:, index], scene.motion.rotations[:, index]
        carry = rotations[1:] @ rotations[:-1].transpose(0, 2, 1)
        offset = points[:, mine].T - centres[frame[mine]]
        moved[:, mine] = (np.einsum("mij,mj->mi", carry[frame[mine]], offset) + centres[after[mine]]).T
    column, row, _ = scene.camera.project(frame, points)
    next_column, next_row, _ = scene.camera.project(after, moved)
    height, width = scene.camera.picture(size)
    moves = [(next_column - column) * width, (next_row - row) * height]
    return np.stack(moves, axis=1).astype(np.float32)


def check_numbers(*, seed: int, num_frames: int, size: int, num_samples: int) -> None:
    """Refuse what can't be rendered.

    Raises:
        ConfigError: a number is out of range; names it.
    """
    limits = {"seed": (seed, 0), "num_frames": (num_frames, 1), "size": (size, 8), "num_samples": (num_samples, 1)}
    for name, (value, least) in limits.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    for name, value, most in (("seed", seed, 2**63 - 1), ("size", size, _LARGEST_SIZE)):
        if value > most:
            raise ConfigError(f"{name} must be at most {most}, got {value}")


def render_video(
    family: str | SceneFamily, *, seed: int, num_frames: int = 16, size: int = 64, num_samples: int = 2
) -> RenderedVideo:
    """Render the video of a seed; its height follows from `size`, its width, and the family.

    Args:
        family: A name in `FAMILIES` or a family of your own.
        seed: Any integer from 0; the same seed gives the same bytes.
        num_frames: At `FRAMES_PER_SECOND`.
        size: Width in pixels.
        num_samples: Samples per pixel and axis at edges.

    Raises:
        ConfigError: unknown family, or a number out of range.
    """
    chosen = find_family(family)
    check_numbers(seed=seed, num_frames=num_frames, size=size, num_samples=num_samples)
    scene = sample_scene(chosen, seed=seed, num_frames=num_frames)
    return draw(scene, num_frames=num_frames, size=size, num_samples=num_samples)


def draw(scene: Scene, *, num_frames: int, size: int, num_samples: int) -> RenderedVideo:
    """Render a given scene."""
    seen = see(scene, num_frames, size)
    grid = (num_frames, *scene.camera.picture(size))
    colour = shade(scene, seen.rays, seen.distance, seen.owner)
    owner = seen.owner.reshape(grid)
    if num_samples > 1:
        _supersample(scene, colour, _edges(colour.reshape(3, *grid), owner), size, num_samples)
    display = np.sqrt(np.clip(colour, 0, 1)) * np.float32(255) + np.float32(0.5)
    return RenderedVideo(
        frames=np.ascontiguousarray(display.astype(np.uint8).reshape(3, *grid).transpose(1, 2, 3, 0)),
        segments=owner.astype(np.uint8),
        amodal=np.ascontiguousarray(seen.amodal.reshape(-1, *grid).transpose(1, 0, 2, 3)),
        depth=seen.distance.reshape(grid),
        flow=_flow(scene, seen, size).reshape(*grid, 2),
        objects=scene.objects,
    )
