"""Analytic ray tracing of a whole video at once: what does each ray hit first.

All rays of all frames go through the same vectorised float32 arithmetic; every ray carries its frame's index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from slotkeeper.scenes.camera import Camera
from slotkeeper.scenes.floor import Floor
from slotkeeper.scenes.physics import Motion, SceneObject
from slotkeeper.scenes.shapes import ENTER, dot

FAR_DEPTH = 60.0
_BEHIND = 0.05

Vectors = Float[np.ndarray, "3 m"]
Scalars = Float[np.ndarray, " m"]
Indices = Int[np.ndarray, " m"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that is drawn: objects with their motion (one frame more than is shown), camera, floor, light.

    light: unit vector towards the light.
    """

    objects: tuple[SceneObject, ...]
    motion: Motion
    camera: Camera
    floor: Floor
    light: Float[np.ndarray, "3"]


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Rays with the frame that each belongs to, sorted by frame or not."""

    frame: Indices
    origin: Vectors
    direction: Vectors


def camera_rays(scene: Scene, frame: Indices, columns: Scalars, rows: Scalars) -> Rays:
    """Rays through picture points in [0, 1]; distances along them are depths."""
    origin = scene.camera.eyes.astype(np.float32).T[:, frame]
    return Rays(frame=frame, origin=origin, direction=scene.camera.directions(frame, columns, rows))


def half_extents(thing: SceneObject) -> Float[np.ndarray, "3"]:
    """The object's half extents in the tracer's precision."""
    return np.asarray(thing.half, dtype=np.float32)


def bounding_radius(thing: SceneObject) -> float:
    """Radius of the smallest sphere around the object's centre that holds it."""
    if thing.shape == "sphere":
        return thing.half[0]
    if thing.shape == "cylinder":
        return float(np.hypot(thing.half[0], thing.half[2]))
    return float(np.linalg.norm(thing.half))


def pose(scene: Scene, index: int, frame: Indices) -> tuple[Vectors, Float[np.ndarray, "3 3 m"]]:
    """Centre and rotation (object to world) of one object at the rays' frames."""
    centres = scene.motion.centres[:, index].astype(np.float32).T
    rotations = scene.motion.rotations[:, index].astype(np.float32).transpose(1, 2, 0)
    return centres[:, frame], rotations[:, :, frame]


def rotate_to_local(rotation: Float[np.ndarray, "3 3 m"], vectors: Vectors) -> Vectors:
    """World directions in the object's coordinates."""
    return np.stack([dot(rotation[:, i], vectors) for i in range(3)])


def rotate_to_world(rotation: Float[np.ndarray, "3 3 m"], vectors: Vectors) -> Vectors:
    """The object's directions in world coordinates."""
    return np.stack([dot(rotation[i], vectors) for i in range(3)])


def _near_sphere(scene: Scene, index: int, rays: Rays, radius: float) -> Int[np.ndarray, " q"]:
    """Rays that pass the object's centre within `radius`, ahead of their start."""
    centres = scene.motion.centres[:, index].astype(np.float32).T
    offset = centres[:, rays.frame] - rays.origin
    along, length = dot(offset, rays.direction), dot(rays.direction, rays.direction)
    square = np.float32(radius * radius)
    apart = dot(offset, offset)
    is_near = (apart * length - along * along <= square * length) & ((along > 0) | (apart <= square))
    return np.flatnonzero(is_near)


def hit_object(scene: Scene, index: int, rays: Rays) -> tuple[Int[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Indices of the rays that meet one object, and their distances."""
    thing = scene.objects[index]
    near = _near_sphere(scene, index, rays, bounding_radius(thing) * 1.001)
    if near.size == 0:
        return near, np.empty(0, np.float32)
    centre, rotation = pose(scene, index, rays.frame[near])
    origin = rotate_to_local(rotation, rays.origin[:, near] - centre)
    direction = rotate_to_local(rotation, rays.direction[:, near])
    distance = ENTER[thing.shape](origin, direction, half_extents(thing))
    is_hit = np.isfinite(distance)
    return near[is_hit], distance[is_hit]


def floor_distance(rays: Rays) -> Scalars:
    """Distance to the floor z = 0, at most `FAR_DEPTH` (the backdrop, also for rays that go up)."""
    down = np.maximum(-rays.direction[2], np.float32(1e-6))
    distance = rays.origin[2] / down
    return np.where(rays.direction[2] < 0, np.minimum(distance, np.float32(FAR_DEPTH)), np.float32(FAR_DEPTH))


def first_hits(scene: Scene, rays: Rays) -> tuple[Scalars, Indices]:
    """Distance of the first surface and its owner: object number from 1, 0 for floor and backdrop."""
    distance, owner = floor_distance(rays), np.zeros(rays.frame.shape, np.int64)
    for index in range(len(scene.objects)):
        hit, reached = hit_object(scene, index, rays)
        is_first = reached < distance[hit]
        chosen = hit[is_first]
        distance[chosen] = reached[is_first]
        owner[chosen] = index + 1
    return distance, owner


def pixel_box(scene: Scene, index: int, num_frames: int, size: int) -> Int[np.ndarray, " q"]:
    """Flat indices over (time, row, column) of pixels that may see an object: its sphere's box on the screen."""
    camera, radius = scene.camera, bounding_radius(scene.objects[index]) * 1.001
    offset = scene.motion.centres[:num_frames, index] - camera.eyes[:num_frames]
    right, down, forward = ((axis * offset).sum(axis=1) for axis in camera.axes[:num_frames].transpose(1, 0, 2))
    near, far = np.maximum(forward - radius, _BEHIND), np.maximum(forward + radius, _BEHIND)
    spans = []
    for middle, pixels in zip((down, right), camera.picture(size), strict=True):
        # Heights, too, are measured in picture widths.
        grid = ((np.arange(pixels) + 0.5) / pixels - 0.5) * (camera.aspect if middle is down else 1.0)
        low = np.minimum((middle - radius) / near, (middle - radius) / far) * camera.focal
        high = np.maximum((middle + radius) / near, (middle + radius) / far) * camera.focal
        spans.append((grid >= low[:, None]) & (grid <= high[:, None]) & (forward > -radius)[:, None])
    return np.flatnonzero(spans[0][:, :, None] & spans[1][:, None, :])


def take(rays: Rays, chosen: Int[np.ndarray, " q"]) -> Rays:
    """Some of the rays."""
    return Rays(frame=rays.frame[chosen], origin=rays.origin[:, chosen], direction=rays.direction[:, chosen])


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """What the centres of all pixels see; flat over (time, row, column), time slowest."""

    rays: Rays
    distance: Float[np.ndarray, " m"]
    owner: Int[np.ndarray, " m"]
    amodal: Bool[np.ndarray, "k m"]


def see(scene: Scene, num_frames: int, size: int) -> Visibility:
    """Look through the centre of every pixel; outlines end where the floor begins."""
    height, width = scene.camera.picture(size)
    frame = np.repeat(np.arange(num_frames), height * width)
    origin = np.repeat(scene.camera.eyes[:num_frames].astype(np.float32).T, height * width, axis=1)
    rays = Rays(frame=frame, origin=origin, direction=scene.camera.grid_directions(num_frames, size))
    ground = floor_distance(rays)
    distance, owner = ground.copy(), np.zeros(frame.size, np.int64)
    amodal = np.zeros((len(scene.objects), frame.size), np.bool_)
    for index in range(len(scene.objects)):
        box = pixel_box(scene, index, num_frames, size)
        met, reached = hit_object(scene, index, take(rays, box))
        is_above = reached < ground[box[met]]
        hit, reached = box[met][is_above], reached[is_above]
        amodal[index, hit] = True
        is_first = reached < distance[hit]
        distance[hit[is_first]] = reached[is_first]
        owner[hit[is_first]] = index + 1
    return Visibility(rays=rays, distance=distance, owner=owner, amodal=amodal)
