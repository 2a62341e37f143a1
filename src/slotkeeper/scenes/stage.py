"""A scene as it is sampled, and one or more scenes as the tracer takes them.

The tracer looks at moments. A stage has the moments of its scenes one after the other, those of the first scene first,
so a batch of videos is traced as one long video is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped

from slotkeeper.errors import ConfigError
from slotkeeper.scenes.arrays import Array
from slotkeeper.scenes.camera import Camera
from slotkeeper.scenes.families import COLOURS, Shape
from slotkeeper.scenes.floor import Floor, Ground
from slotkeeper.scenes.light import light_axes, light_directions, linear_colour
from slotkeeper.scenes.physics import Motion, SceneObject


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
class Actor:
    """An object at every moment of a stage; in several scenes one of its shape in each, or none.

    What is the same at all moments has one value (g = 1), otherwise one for each (g = f). centres: NaN at moments of
    scenes without it, where all comparisons fail. rotations: object to world. half: half extents. radius: of the
    smallest sphere around the centre that holds it. albedo: linear colour. exact: the motion in float64, for what is
    measured and not drawn.
    """

    shape: Shape
    centres: Float[Array, "3 f"]
    rotations: Float[Array, "3 3 f"]
    half: Float[Array, "3 g"]
    radius: Float[Array, " g"]
    albedo: Float[Array, "3 g"]
    is_metal: Bool[Array, " g"]
    exact_centres: Float[Array, "f 3"]
    exact_rotations: Float[Array, "f 3 3"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the tracer looks at, in NumPy arrays or in tensors of one device.

    actors: number i belongs to owner i + 1. labels: the number in its own scene of each owner at each moment; owner 0
    is floor and backdrop. light_axes: rows across the light, across both, and towards it. light_directions: to the
    parts of its disc. first_moments: of each scene; one more at the end says where the last one ends.
    """

    actors: tuple[Actor, ...]
    labels: Int[Array, "owners g"]
    camera: Camera
    ground: Ground
    light_axes: Float[Array, "3 3 g"]
    light_directions: Float[Array, "parts 3 g"]
    first_moments: tuple[int, ...]


def bounding_radius(thing: SceneObject) -> float:
    """Radius of the smallest sphere around the object's centre that holds it."""
    if thing.shape == "sphere":
        return thing.half[0]
    if thing.shape == "cylinder":
        return float(np.hypot(thing.half[0], thing.half[2]))
    return float(np.linalg.norm(thing.half))


def set_stage(scenes: Sequence[Scene], device: torch.device | None = None) -> Stage:
    """Make scenes of one family ready for the tracer.

    device: where tensors shall lie; None for NumPy arrays.

    Raises:
        ConfigError: the scenes differ in their cameras' lens or aspect, or only some have a textured floor.
    """
    lenses = {(scene.camera.focal, scene.camera.aspect, scene.floor.waves is None) for scene in scenes}
    if len(lenses) != 1:
        raise ConfigError(
            "scenes that are drawn together must be of one family: one lens, one aspect, one kind of floor"
        )
    counts = [len(scene.motion.centres) for scene in scenes]
    place = _placing(device)

    def each(values: Sequence[Any], kind: type[np.generic] = np.float32) -> Array:
        """One value per scene, along the last axis: for each moment, or one where there is but one scene."""
        if len(scenes) == 1:
            return place(np.asarray(values[0], dtype=kind)[..., None])
        return place(np.repeat(np.stack(values, axis=-1).astype(kind), counts, axis=-1))

    cast = _cast(scenes)
    labels = [[0, *(0 if index is None else index + 1 for index in row)] for row in zip(*cast, strict=True)]
    axes = [light_axes(scene.light) for scene in scenes]
    focal, aspect, _ = lenses.pop()
    return Stage(
        actors=tuple(_actor(scenes, roles, each, place) for roles in cast),
        labels=each([np.asarray(row) for row in labels], np.int64),
        camera=Camera(
            eyes=place(np.concatenate([scene.camera.eyes for scene in scenes])),
            axes=place(np.concatenate([scene.camera.axes for scene in scenes])),
            focal=focal,
            aspect=aspect,
        ),
        ground=_ground([scene.floor for scene in scenes], each),
        light_axes=each(axes),
        light_directions=each([light_directions(scene.light) for scene in scenes]),
        first_moments=tuple(np.cumsum([0, *counts]).tolist()),
    )


Place = Callable[[Shaped[np.ndarray, "..."]], Array]
Each = Callable[..., Array]


def _placing(device: torch.device | None) -> Place:
    if device is None:
        return lambda array: array
    return lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _cast(scenes: Sequence[Scene]) -> list[list[int | None]]:
    """For each actor its object's index in every scene; each object goes to the first actor of its shape still free."""
    shapes: list[Shape] = []
    roles: list[list[int | None]] = []
    for number, scene in enumerate(scenes):
        for index, thing in enumerate(scene.objects):
            free = (
                place for place, shape in enumerate(shapes) if shape == thing.shape and roles[place][number] is None
            )
            place = next(free, len(shapes))
            if place == len(shapes):
                shapes.append(thing.shape)
                roles.append([None] * len(scenes))
            roles[place][number] = index
    return roles


def _actor(scenes: Sequence[Scene], roles: Sequence[int | None], each: Each, place: Place) -> Actor:
    things = [None if index is None else scene.objects[index] for scene, index in zip(scenes, roles, strict=True)]
    known = next(thing for thing in things if thing is not None)
    present = [thing or known for thing in things]
    centres = np.concatenate([_centres(scene, index) for scene, index in zip(scenes, roles, strict=True)])
    rotations = np.concatenate([s.motion.rotations[:, i or 0] for s, i in zip(scenes, roles, strict=True)])
    return Actor(
        shape=known.shape,
        centres=place(np.ascontiguousarray(centres.astype(np.float32).T)),
        rotations=place(np.ascontiguousarray(rotations.astype(np.float32).transpose(1, 2, 0))),
        half=each([thing.half for thing in present]),
        radius=each([bounding_radius(thing) for thing in present], np.float64),
        albedo=each([linear_colour(COLOURS[thing.colour]) for thing in present]),
        is_metal=each([thing.material == "metal" for thing in present], np.bool_),
        exact_centres=place(centres),
        exact_rotations=place(rotations),
    )


def _centres(scene: Scene, index: int | None) -> Float[np.ndarray, "t 3"]:
    return scene.motion.centres[:, index] if index is not None else np.full((len(scene.motion.centres), 3), np.nan)


def _ground(floors: Sequence[Floor], each: Each) -> Ground:
    waves = [floor.waves for floor in floors if floor.waves is not None]
    return Ground(
        first=each([floor.first for floor in floors]),
        second=each([floor.second for floor in floors]),
        checker_size=each([floor.checker_size for floor in floors]),
        cos=each([np.cos(floor.angle) for floor in floors]),
        sin=each([np.sin(floor.angle) for floor in floors]),
        checker_share=each([floor.checker_share for floor in floors]),
        waves=each(waves) if waves else None,
    )
