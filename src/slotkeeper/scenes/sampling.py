"""From a family and a seed to a scene: camera, floor, light and objects, tried until the scene shows what it should."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Bool, Int, Integer

from slotkeeper.errors import ConfigError
from slotkeeper.scenes.camera import Camera, orbit
from slotkeeper.scenes.families import Material, SceneFamily, Shape
from slotkeeper.scenes.floor import plain_floor, textured_floor
from slotkeeper.scenes.physics import FRAMES_PER_SECOND, SceneObject, simulate
from slotkeeper.scenes.placement import first_view, num_pairs, picture_walls, place
from slotkeeper.scenes.stage import Scene, set_stage
from slotkeeper.scenes.tracer import Visibility, see

SHAPES: tuple[Shape, ...] = ("sphere", "box", "cylinder")
MATERIALS: tuple[Material, ...] = ("rubber", "metal")
LIGHT = np.array([-0.55, -0.5, 1.0])
MAX_ATTEMPTS = 60
CHECK_SIZE = 64
"""Pixels across the picture in which a scene is judged, for a lens of 35 degrees; a wider one needs more."""
MIN_HIDDEN_AREA = 20


def _camera(family: SceneFamily, num_frames: int, generator: np.random.Generator) -> Camera:
    progress = np.arange(num_frames) / 16
    is_moving = generator.random() < family.moving_camera_share
    turn, climb, approach = (generator.uniform(-1, 1, size=3) * [16, 3, 0.8]) * is_moving
    swing = np.sin(progress * np.pi / 2)
    return orbit(
        distance=generator.uniform(*family.distance) + approach * swing,
        elevation=generator.uniform(*family.elevation) + climb * swing,
        azimuth=generator.uniform(*family.azimuth) + turn * swing,
        field_of_view=family.field_of_view,
        aspect=family.aspect,
    )


def _half_extents(shape: Shape, radius: float, generator: np.random.Generator) -> tuple[float, float, float]:
    if shape == "sphere":
        return (radius, radius, radius)
    width = 0.84 * radius
    height = width * (1.0 if shape == "box" else float(generator.uniform(0.85, 1.15)))
    return (width, width, height)


def _cast(family: SceneFamily, count: int, generator: np.random.Generator) -> list[SceneObject]:
    """The objects, not yet placed; those that cross come first, a large one before a small one."""
    colours = generator.choice(list(family.colours), size=count, replace=not family.has_distinct_colours)
    num_crossing = 2 * num_pairs(family, count)
    cast = []
    for index in range(count):
        size = (-1, 0)[index % 2] if index < num_crossing else int(generator.integers(len(family.radii)))
        low, high = family.radii[size]
        shape: Shape = SHAPES[int(generator.integers(3))]
        cast.append(
            SceneObject(
                shape=shape,
                material=MATERIALS[int(generator.integers(2))],
                colour=str(colours[index]),
                half=_half_extents(shape, float(generator.uniform(low, high)), generator),
                start=(0.0, 0.0, 0.0),
                heading=float(generator.uniform(0, 2 * np.pi)),
                velocity=(0.0, 0.0),
                is_kept=True,
            )
        )
    return cast


def try_scene(
    family: SceneFamily, *, num_objects: int, num_frames: int, generator: np.random.Generator
) -> Scene | None:
    """One attempt: a scene of num_frames + 1 moments, or None where the objects find no room."""
    camera = _camera(family, num_frames + 1, generator)
    view = first_view(camera)
    floor = textured_floor(generator) if family.has_textured_floor else plain_floor()
    light = LIGHT + generator.uniform(-1, 1, size=3) * [1, 1, 0] * family.light_jitter
    walls = picture_walls(view, family.depths)
    objects = place(
        _cast(family, num_objects, generator), view, walls, family, num_frames / FRAMES_PER_SECOND, generator
    )
    if objects is None:
        return None
    motion = simulate(objects, walls, num_frames=num_frames + 1, min_speed=0.6 * family.speed[0], generator=generator)
    return Scene(objects=objects, motion=motion, camera=camera, floor=floor, light=light / np.linalg.norm(light))


def hidden_frames(
    segments: Integer[np.ndarray, "t h w"], amodal: Bool[np.ndarray, "t k h w"], *, min_area: int = MIN_HIDDEN_AREA
) -> Int[np.ndarray, " k"]:
    """For each object the most frames in a row it was fully hidden and then seen again.

    Fully hidden: no visible pixel though its outline covers at least `min_area` pixels of the picture. Seen, before
    and after: at least `min_area` visible pixels.
    """
    num_frames, num_objects = amodal.shape[:2]
    longest = np.zeros(num_objects, np.int64)
    for index in range(num_objects):
        visible = (segments == index + 1).sum(axis=(1, 2))
        outline = amodal[:, index].sum(axis=(1, 2))
        run, was_seen = 0, False
        for time in range(num_frames):
            if visible[time] == 0 and outline[time] >= min_area and was_seen:
                run += 1
            elif visible[time] >= min_area:
                longest[index] = max(longest[index], run)
                run, was_seen = 0, True
            elif visible[time] == 0:
                run, was_seen = 0, False
    return longest


def _is_good(family: SceneFamily, seen: Visibility, grid: tuple[int, int, int], *, wants_occlusion: bool) -> bool:
    """Whether each object is seen at some time and, where wanted, one vanishes and returns. grid: t h w."""
    owner = seen.owner.reshape(grid)
    amodal = seen.amodal.reshape(-1, *grid).transpose(1, 0, 2, 3)
    counts = np.stack([(owner == index + 1).sum(axis=(1, 2)) for index in range(amodal.shape[1])])
    if (counts.max(axis=1) < MIN_HIDDEN_AREA).any():
        return False
    return not wants_occlusion or bool((hidden_frames(owner, amodal) >= family.min_hidden_frames).any())


def sample_scene(family: SceneFamily, *, seed: int, num_frames: int) -> Scene:
    """The scene of a seed: the first attempt that shows every object and, in the family's share, a full occlusion.

    The picture's size plays no part, so a seed gives the same scene at 64 and at 128.
    """
    name = zlib.crc32(family.name.encode())
    chance = np.random.default_rng([name, seed])
    num_objects = int(chance.integers(family.num_objects[0], family.num_objects[1] + 1))
    wants_occlusion = chance.random() < family.occlusion_share and num_objects > 1 and num_frames >= 8
    lens = float(np.tan(np.radians(family.field_of_view / 2)) / np.tan(np.radians(35 / 2)))
    size = 2 * round(CHECK_SIZE * lens / 2)
    last = None
    for attempt in range(MAX_ATTEMPTS):
        generator = np.random.default_rng([name, seed, attempt])
        scene = try_scene(family, num_objects=num_objects, num_frames=num_frames, generator=generator)
        if scene is None:
            continue
        last = scene
        seen = see(set_stage([scene]), np.arange(num_frames), size)
        if _is_good(family, seen, (num_frames, *scene.camera.picture(size)), wants_occlusion=wants_occlusion):
            return scene
    if last is None:
        raise ConfigError(f"scene family {family.name!r} found no room for its objects in {MAX_ATTEMPTS} attempts")
    return last
