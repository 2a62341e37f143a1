"""What colour comes back along a ray.

Ambient light and one soft directional light (Lambert), Blinn highlights, and one reflection for metal, after the
materials of CLEVR: rubber is matt, metal mirrors its surroundings in its own colour.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int

from slotkeeper.scenes.arrays import Array, at, namespace, nonzero, pick, single
from slotkeeper.scenes.light import LIGHT_SPREAD, SHADOW_RAYS
from slotkeeper.scenes.shapes import ENTER, NORMAL, dot
from slotkeeper.scenes.stage import Actor, Stage
from slotkeeper.scenes.tracer import (
    Indices,
    Rays,
    Scalars,
    Vectors,
    first_hits,
    pose,
    rotate_to_local,
    rotate_to_world,
    take,
)

AMBIENT = 0.48
SUN = 1.25 * (1 - AMBIENT)
SKY = 0.36
FADE_START, FADE_LENGTH = 14.0, 26.0
_LIFT = 2e-3


def _along(axes: Float[Array, "3 3 #m"], vectors: Vectors) -> Vectors:
    """Components along the axes; no matrix product, whose rounding may depend on the number of threads."""
    return namespace(vectors).stack([dot(axis, vectors) for axis in axes])


def lit_share(stage: Stage, frame: Indices, points: Vectors, facing: Scalars) -> Scalars:
    """Share of the light's disc that each point sees, in [0, 1]; points that face away count as lit."""
    xp = namespace(points)
    blocked = xp.zeros((SHADOW_RAYS, len(frame)), dtype=xp.bool, device=points.device)
    place = _along(at(stage.light_axes, frame), points)
    for actor in stage.actors:
        centre = _along(stage.light_axes, actor.centres)
        along = pick(centre[2], frame) - place[2]
        reach = at(single(1.1 * actor.radius), frame) + LIGHT_SPREAD * along.clip(0)
        apart = (pick(centre[0], frame) - place[0]) ** 2 + (pick(centre[1], frame) - place[1]) ** 2
        near = nonzero((apart <= reach * reach) & (along > -reach) & (facing > 0))
        if len(near):
            _cast_shadow(stage, actor, frame, points, near, blocked)
    return 1 - single(blocked.sum(axis=0)) / SHADOW_RAYS


def _cast_shadow(
    stage: Stage,
    actor: Actor,
    frame: Indices,
    points: Vectors,
    near: Int[Array, " q"],
    blocked: Bool[Array, "l m"],
) -> None:
    """Mark in `blocked` which of the points `near` an object's shadow can't see each part of the light."""
    when = pick(frame, near)
    half = at(actor.half, when)
    centre, rotation = pose(actor, when)
    start = rotate_to_local(rotation, pick(points, near) - centre)
    for part, direction in enumerate(stage.light_directions):
        towards = rotate_to_local(actor.rotations, direction)
        is_hit = namespace(points).isfinite(ENTER[actor.shape](start, pick(towards, when), half))
        blocked[part, near[is_hit]] = True


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What the rays meet: points in the world, outward unit normals, linear base colours, and which are of metal."""

    points: Vectors
    normals: Vectors
    albedo: Vectors
    is_metal: Bool[Array, " m"]


def _surface(stage: Stage, rays: Rays, distance: Scalars, owner: Indices) -> Surface:
    xp = namespace(distance)
    points = rays.origin + rays.direction * distance
    normals = xp.zeros_like(points)
    normals[2] = 1
    albedo = stage.ground.colour_at(rays.frame, points[0], points[1], distance)
    is_metal = xp.zeros_like(owner, dtype=xp.bool)
    for index, actor in enumerate(stage.actors):
        mine = nonzero(owner == index + 1)
        if len(mine) == 0:
            continue
        frame = pick(rays.frame, mine)
        centre, rotation = pose(actor, frame)
        local = rotate_to_local(rotation, pick(points, mine) - centre)
        normals[:, mine] = rotate_to_world(rotation, NORMAL[actor.shape](local, at(actor.half, frame)))
        albedo[:, mine] = at(actor.albedo, frame)
        is_metal[mine] = at(actor.is_metal, frame)
    return Surface(points=points, normals=normals, albedo=albedo, is_metal=is_metal)


def shade(stage: Stage, rays: Rays, distance: Scalars, owner: Indices) -> Vectors:
    """Linear RGB that comes back along each ray; distance and owner as `first_hits` gives them."""
    surface = _surface(stage, rays, distance, owner)
    facing = _facing(stage, rays.frame, surface)
    lit = lit_share(stage, rays.frame, surface.points + surface.normals * _LIFT, facing)
    colour = _matt(surface, facing * lit)
    _fade_far(colour, distance, owner)
    solid = nonzero(owner > 0)
    if len(solid):
        colour[:, solid] = _polish(
            stage, take(rays, solid), _part(surface, solid), pick(colour, solid), pick(lit, solid)
        )
    return colour


def _facing(stage: Stage, frame: Indices, surface: Surface) -> Scalars:
    """Cosine between normal and light, 0 where the surface faces away."""
    return dot(at(stage.light_axes[2], frame), surface.normals).clip(0)


def _matt(surface: Surface, sunshine: Scalars) -> Vectors:
    sky = AMBIENT * (0.75 + 0.25 * surface.normals[2])
    return surface.albedo * (sky + SUN * sunshine)


def _part(surface: Surface, chosen: Int[Array, " q"]) -> Surface:
    return Surface(
        points=pick(surface.points, chosen),
        normals=pick(surface.normals, chosen),
        albedo=pick(surface.albedo, chosen),
        is_metal=pick(surface.is_metal, chosen),
    )


def _fade_far(colour: Vectors, distance: Scalars, owner: Indices) -> None:
    """Blend the far floor into the backdrop, in place."""
    far = nonzero((owner == 0) & (distance > FADE_START))
    share = ((pick(distance, far) - FADE_START) / FADE_LENGTH).clip(0, 1)
    near = pick(colour, far)
    colour[:, far] = near + (SKY - near) * share


def _polish(stage: Stage, rays: Rays, surface: Surface, colour: Vectors, lit: Scalars) -> Vectors:
    """Highlights on all objects, reflections on metal; `colour` is changed in place, too."""
    xp = namespace(colour)
    view = rays.direction / xp.sqrt(dot(rays.direction, rays.direction))
    halfway = at(stage.light_axes[2], rays.frame) - view
    halfway = halfway / xp.sqrt(dot(halfway, halfway))
    shine = dot(halfway, surface.normals).clip(0)
    glint = xp.where(surface.is_metal, 0.55 * shine**60, 0.12 * shine**16)
    metal = nonzero(surface.is_metal)
    if len(metal):
        mirror = _mirrored(stage, pick(rays.frame, metal), pick(view, metal), _part(surface, metal))
        tint = pick(surface.albedo, metal) * 0.85 + 0.08
        colour[:, metal] = pick(colour, metal) * 0.6 + mirror * tint
    return colour + glint * lit


def _mirrored(stage: Stage, frame: Indices, view: Vectors, surface: Surface) -> Vectors:
    """What one sees in a mirror: matt surfaces without shadows of their own."""
    direction = view - 2 * dot(view, surface.normals) * surface.normals
    rays = Rays(frame=frame, origin=surface.points + surface.normals * _LIFT, direction=direction)
    distance, owner = first_hits(stage, rays)
    seen = _surface(stage, rays, distance, owner)
    colour = _matt(seen, _facing(stage, frame, seen))
    _fade_far(colour, distance, owner)
    return colour
