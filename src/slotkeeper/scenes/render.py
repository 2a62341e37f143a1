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
from slotkeeper.scenes.arrays import Array, namespace, nonzero, single
from slotkeeper.scenes.families import SceneFamily, find_family
from slotkeeper.scenes.physics import SceneObject
from slotkeeper.scenes.sampling import sample_scene
from slotkeeper.scenes.shading import shade
from slotkeeper.scenes.stage import Scene, Stage, set_stage
from slotkeeper.scenes.tracer import Visibility, camera_rays, first_hits, see

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


def _edges(colour: Float[Array, "3 t h w"], owner: Int[Array, "t h w"]) -> Int[Array, " q"]:
    """Flat indices of pixels that differ from a neighbour above, below, left or right."""
    xp = namespace(owner)
    is_edge = xp.zeros_like(owner, dtype=xp.bool)
    for axis in (1, 2):
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        differs = owner[tuple(first)] != owner[tuple(second)]
        step = colour[(slice(None), *first)] - colour[(slice(None), *second)]
        differs |= xp.amax(xp.abs(step), 0) > EDGE_CONTRAST
        is_edge[tuple(first)] |= differs
        is_edge[tuple(second)] |= differs
    return nonzero(is_edge.reshape(-1))


def _supersample(
    stage: Stage,
    frames: Int[Array, " t"],
    colour: Float[Array, "3 m"],
    edges: Int[Array, " q"],
    size: int,
    num_samples: int,
) -> None:
    """Replace the edge pixels' colours by the mean over a grid of samples, in place."""
    height, width = stage.camera.picture(size)
    frame, rest = frames[edges // (height * width)], edges % (height * width)
    row, column = single(rest // width), single(rest % width)
    offsets = [float(offset) for offset in (np.arange(num_samples) + 0.5) / num_samples]
    total = namespace(colour).zeros_like(colour[:, edges])
    for down in offsets:
        for right in offsets:
            rays = camera_rays(stage, frame, (column + right) / width, (row + down) / height)
            total += shade(stage, rays, *first_hits(stage, rays))
    colour[:, edges] = total / (num_samples * num_samples)


def paint(
    stage: Stage, frames: Int[Array, " t"], *, size: int, num_samples: int
) -> tuple[Visibility, UInt8[Array, "t h w 3"]]:
    """What is seen at some moments, and its picture."""
    xp = namespace(frames)
    seen = see(stage, frames, size)
    grid = (len(frames), *stage.camera.picture(size))
    colour = shade(stage, seen.rays, seen.distance, seen.owner)
    if num_samples > 1:
        edges = _edges(colour.reshape(3, *grid), seen.owner.reshape(grid))
        _supersample(stage, frames, colour, edges, size, num_samples)
    display = xp.asarray(xp.sqrt(colour.clip(0, 1)) * 255 + 0.5, dtype=xp.uint8)
    return seen, xp.moveaxis(display.reshape(3, *grid), 0, -1)


def point_flow(stage: Stage, seen: Visibility, size: int) -> Float[Array, "m 2"]:
    """Pixels that each visible point moves to the right and down until the next frame."""
    xp = namespace(seen.distance)
    frame, after = seen.rays.frame, seen.rays.frame + 1
    origin, distance = (xp.asarray(part, dtype=xp.float64) for part in (seen.rays.origin, seen.distance))
    points = origin + seen.rays.direction * distance
    moved = xp.asarray(points, copy=True)
    for index, actor in enumerate(stage.actors):
        mine = nonzero(seen.owner == index + 1)
        centres, rotations = actor.exact_centres, actor.exact_rotations
        carry = rotations[1:] @ xp.moveaxis(rotations[:-1], 1, 2)
        offset = points[:, mine].T - centres[frame[mine]]
        moved[:, mine] = (xp.einsum("mij,mj->mi", carry[frame[mine]], offset) + centres[after[mine]]).T
    column, row, _ = stage.camera.project(frame, points)
    next_column, next_row, _ = stage.camera.project(after, moved)
    height, width = stage.camera.picture(size)
    return single(xp.stack([(next_column - column) * width, (next_row - row) * height], -1))


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
    stage = set_stage([scene])
    seen, frames = paint(stage, np.arange(num_frames), size=size, num_samples=num_samples)
    grid = frames.shape[:3]
    return RenderedVideo(
        frames=np.ascontiguousarray(frames),
        segments=seen.owner.reshape(grid).astype(np.uint8),
        amodal=np.ascontiguousarray(seen.amodal.reshape(-1, *grid).transpose(1, 0, 2, 3)),
        depth=seen.distance.reshape(grid),
        flow=point_flow(stage, seen, size).reshape(*grid, 2),
        objects=scene.objects,
    )
