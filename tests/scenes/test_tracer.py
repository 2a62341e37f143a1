"""The ray tracer against marching in small steps through the scene, which shares no formula with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from slotkeeper.scenes.families import CLEVR, CROWD, PLAIN
from slotkeeper.scenes.sampling import sample_scene
from slotkeeper.scenes.shading import lit_share
from slotkeeper.scenes.stage import Scene, set_stage
from slotkeeper.scenes.tracer import Visibility, see

STEP = 0.004
SIZE = 24


def look(scene: Scene, num_frames: int, size: int) -> Visibility:
    """What all pixels of a scene's first frames see."""
    return see(set_stage([scene]), np.arange(num_frames), size)


def is_inside(scene: Scene, index: int, time: int, points: np.ndarray) -> np.ndarray:
    """Whether world points (n 3) lie in the object, from the shapes' inequalities."""
    thing = scene.objects[index]
    local = (points - scene.motion.centres[time, index]) @ scene.motion.rotations[time, index]
    half = np.asarray(thing.half)
    if thing.shape == "sphere":
        return np.asarray((local**2).sum(axis=-1) <= half[0] ** 2)
    if thing.shape == "box":
        return np.asarray((np.abs(local) <= half).all(axis=-1))
    return np.asarray((np.hypot(local[:, 0], local[:, 1]) <= half[0]) & (np.abs(local[:, 2]) <= half[2]))


def march(scene: Scene, time: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First owner, its depth (inf for none) and amodal outlines for each pixel's centre."""
    eye, (right, down, forward) = scene.camera.eyes[time], scene.camera.axes[time]
    row, column = np.indices((SIZE, SIZE)).reshape(2, -1)
    across, below = ((values + 0.5) / SIZE - 0.5 for values in (column, row))
    directions = forward + (across[:, None] * right + below[:, None] * down) / scene.camera.focal
    owner, depth = np.zeros(SIZE * SIZE, int), np.full(SIZE * SIZE, np.inf)
    amodal = np.zeros((len(scene.objects), SIZE * SIZE), bool)
    for ray, direction in enumerate(directions):
        for index in range(len(scene.objects)):
            middle = (scene.motion.centres[time, index] - eye) @ direction / (direction @ direction)
            steps = np.arange(max(middle - 1.5, 0.1), middle + 1.5, STEP)
            met = np.flatnonzero(is_inside(scene, index, time, eye + steps[:, None] * direction))
            amodal[index, ray] = met.size > 0
            if met.size and steps[met[0]] < depth[ray]:
                depth[ray], owner[ray] = steps[met[0]], index + 1
    return owner, depth, amodal


@pytest.mark.parametrize(("family", "seed", "time"), [(PLAIN, 2, 8), (CLEVR, 5, 3), (CROWD, 1, 12)])
def test_labels_depth_and_outlines_equal_a_brute_force_march(family, seed, time):
    scene = sample_scene(family, seed=seed, num_frames=16)
    seen = look(scene, 16, SIZE)
    owner, depth, amodal = march(scene, time)
    traced = seen.owner.reshape(16, -1)[time]
    assert (traced == owner).mean() > 0.997  # a ray may graze an edge between two steps
    assert len(np.unique(owner)) > 2
    both = (traced == owner) & (owner > 0)
    np.testing.assert_allclose(seen.distance.reshape(16, -1)[time][both], depth[both], atol=1.5 * STEP)
    assert (seen.amodal.reshape(-1, 16, SIZE * SIZE)[:, time] == amodal).mean() > 0.998


def test_floor_pixels_lie_on_the_floor():
    scene = sample_scene(CLEVR, seed=1, num_frames=4)
    seen = look(scene, 4, SIZE)
    floor = (seen.owner == 0) & (seen.distance < 50)
    height = seen.rays.origin[2] + seen.rays.direction[2] * seen.distance
    assert floor.mean() > 0.3
    np.testing.assert_allclose(height[floor], 0, atol=1e-4)
    assert (seen.distance > 1).all()


def test_an_outline_is_what_one_sees_when_the_others_are_gone():
    scene = sample_scene(CROWD, seed=0, num_frames=6)
    seen = look(scene, 6, 64)
    for index in (0, 3, 5):
        motion = dataclasses.replace(
            scene.motion,
            centres=scene.motion.centres[:, index : index + 1],
            rotations=scene.motion.rotations[:, index : index + 1],
        )
        alone = dataclasses.replace(scene, objects=scene.objects[index : index + 1], motion=motion)
        np.testing.assert_array_equal(seen.amodal[index], look(alone, 6, 64).owner == 1)


def test_the_ground_under_an_object_is_dark_and_far_ground_is_lit():
    scene = sample_scene(PLAIN, seed=0, num_frames=1)
    below = scene.motion.centres[0, :, :2]
    points = np.zeros((3, len(below) + 1), np.float32)
    points[:2, :-1], points[:2, -1] = below.T, 40
    facing, frame = np.ones(points.shape[1], np.float32), np.zeros(points.shape[1], int)
    lit = lit_share(set_stage([scene]), frame, points, facing)
    assert (lit[:-1] == 0).all()
    assert lit[-1] == 1


def test_shadows_have_a_soft_edge():
    scene = sample_scene(PLAIN, seed=0, num_frames=1)
    row = np.linspace(-4, 4, 4000, dtype=np.float32)
    away = np.full_like(row, scene.motion.centres[0, 0, 1])
    points = np.stack([row, away, np.zeros_like(row)])
    lit = lit_share(set_stage([scene]), np.zeros(row.size, int), points, np.ones_like(row))
    assert lit.min() == 0
    assert lit.max() == 1
    assert ((lit > 0.1) & (lit < 0.9)).any()
