"""Analytic ray tracing of whole videos at once: what does each ray hit first.

All rays of all frames go through the same vectorised float32 arithmetic; every ray carries the moment of the stage that
it looks at. A stage in NumPy arrays is traced on the CPU, one in tensors where these lie.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int

from slotkeeper.scenes.arrays import Array, at, namespace, nonzero, pick, single
from slotkeeper.scenes.shapes import ENTER, Spread, dot
from slotkeeper.scenes.stage import Actor, Stage

FAR_DEPTH = 60.0
_BEHIND = 0.05
_SPHERE_MARGIN = 1.001

Vectors = Float[Array, "3 m"]
Scalars = Float[Array, " m"]
Indices = Int[Array, " m"]


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Rays with the moment that each belongs to, sorted by it or not."""

    frame: Indices
    origin: Vectors
    direction: Vectors


def camera_rays(stage: Stage, frame: Indices, columns: Scalars, rows: Scalars) -> Rays:
    """Rays through picture points in [0, 1]; distances along them are depths."""
    origin = pick(single(stage.camera.eyes).T, frame)
    return Rays(frame=frame, origin=origin, direction=stage.camera.directions(frame, columns, rows))


def pose(actor: Actor, frame: Indices) -> tuple[Vectors, Float[Array, "3 3 m"]]:
    """Centre and rotation (object to world) of one object at the rays' moments."""
    return pick(actor.centres, frame), pick(actor.rotations, frame)


def rotate_to_local(rotation: Float[Array, "3 3 m"], vectors: Spread) -> Vectors:
    """World directions in the object's coordinates."""
    return namespace(vectors).stack([dot(rotation[:, i], vectors) for i in range(3)])


def rotate_to_world(rotation: Float[Array, "3 3 m"], vectors: Vectors) -> Vectors:
    """The object's directions in world coordinates."""
    return namespace(vectors).stack([dot(rotation[i], vectors) for i in range(3)])


def _near_sphere(actor: Actor, rays: Rays) -> Int[Array, " q"]:
    """Rays that pass the object's centre within its sphere, ahead of their start."""
    offset = pick(actor.centres, rays.frame) - rays.origin
    along, length = dot(offset, rays.direction), dot(rays.direction, rays.direction)
    square, apart = at(single((actor.radius * _SPHERE_MARGIN) ** 2), rays.frame), dot(offset, offset)
    return nonzero((apart * length - along * along <= square * length) & ((along > 0) | (apart <= square)))


def hit_object(actor: Actor, rays: Rays) -> tuple[Int[Array, " q"], Float[Array, " q"]]:
    """Indices of the rays that meet one object, and their distances."""
    near = _near_sphere(actor, rays)
    if len(near) == 0:
        return near, rays.direction[0, near]
    frame = pick(rays.frame, near)
    centre, rotation = pose(actor, frame)
    origin = rotate_to_local(rotation, pick(rays.origin, near) - centre)
    direction = rotate_to_local(rotation, pick(rays.direction, near))
    distance = ENTER[actor.shape](origin, direction, at(actor.half, frame))
    is_hit = namespace(distance).isfinite(distance)
    return near[is_hit], distance[is_hit]


def floor_distance(rays: Rays) -> Scalars:
    """Distance to the floor z = 0, at most `FAR_DEPTH` (the backdrop, also for rays that go up)."""
    distance = rays.origin[2] / (-rays.direction[2]).clip(1e-6)
    return namespace(distance).where(rays.direction[2] < 0, distance.clip(None, FAR_DEPTH), FAR_DEPTH)


def first_hits(stage: Stage, rays: Rays) -> tuple[Scalars, Indices]:
    """Distance of the first surface and its owner: actor's number from 1, 0 for floor and backdrop."""
    distance, owner = floor_distance(rays), namespace(rays.frame).zeros_like(rays.frame)
    for index, actor in enumerate(stage.actors):
        hit, reached = hit_object(actor, rays)
        is_first = reached < distance[hit]
        chosen = hit[is_first]
        distance[chosen] = reached[is_first]
        owner[chosen] = index + 1
    return distance, owner


def pixel_box(stage: Stage, actor: Actor, frames: Int[Array, " t"], size: int) -> Int[Array, " q"]:
    """Flat indices over (time, row, column) of pixels that may see an object: its sphere's box on the screen."""
    camera, xp = stage.camera, namespace(frames)
    radius = at(actor.radius, frames) * _SPHERE_MARGIN
    offset = actor.exact_centres[frames] - camera.eyes[frames]
    right, down, forward = ((axis * offset).sum(axis=1) for axis in xp.moveaxis(camera.axes[frames], 1, 0))
    near, far = (forward - radius).clip(_BEHIND), (forward + radius).clip(_BEHIND)
    spans = []
    # Heights, too, are measured in picture widths.
    for middle, pixels, side in zip((down, right), camera.picture(size), (camera.aspect, 1.0), strict=True):
        centres = xp.arange(pixels, device=frames.device, dtype=xp.float64)
        grid = ((centres + 0.5) / pixels - 0.5) * side
        low = xp.minimum((middle - radius) / near, (middle - radius) / far) * camera.focal
        high = xp.maximum((middle + radius) / near, (middle + radius) / far) * camera.focal
        spans.append((grid >= low[:, None]) & (grid <= high[:, None]) & (forward > -radius)[:, None])
    return nonzero((spans[0][:, :, None] & spans[1][:, None, :]).reshape(-1))


def take(rays: Rays, chosen: Int[Array, " q"]) -> Rays:
    """Some of the rays."""
    return Rays(
        frame=pick(rays.frame, chosen), origin=pick(rays.origin, chosen), direction=pick(rays.direction, chosen)
    )


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """What the centres of all pixels see; flat over (time, row, column), time slowest."""

    rays: Rays
    distance: Float[Array, " m"]
    owner: Int[Array, " m"]
    amodal: Bool[Array, "k m"]


def see(stage: Stage, frames: Int[Array, " t"], size: int) -> Visibility:
    """Look through the centre of every pixel at some moments; outlines end where the floor begins."""
    height, width = stage.camera.picture(size)
    xp = namespace(frames)
    frame = xp.broadcast_to(frames[:, None], (len(frames), height * width)).reshape(-1)
    eyes = single(stage.camera.eyes[frames]).T
    origin = xp.broadcast_to(eyes[:, :, None], (3, len(frames), height * width)).reshape(3, -1)
    rays = Rays(frame=frame, origin=origin, direction=stage.camera.grid_directions(frames, size))
    ground = floor_distance(rays)
    distance, owner = xp.asarray(ground, copy=True), xp.zeros_like(frame)
    amodal = xp.zeros((len(stage.actors), len(frame)), dtype=xp.bool, device=frames.device)
    for index, actor in enumerate(stage.actors):
        box = pixel_box(stage, actor, frames, size)
        met, reached = hit_object(actor, take(rays, box))
        is_above = reached < ground[box[met]]
        hit, reached = box[met][is_above], reached[is_above]
        amodal[index, hit] = True
        is_first = reached < distance[hit]
        distance[hit[is_first]] = reached[is_first]
        owner[hit[is_first]] = index + 1
    return Visibility(rays=rays, distance=distance, owner=owner, amodal=amodal)
