"""Where objects start and where they go: arranged occlusions, wanderers, objects that come in or go out.

An occlusion is arranged as a crossing: a larger object and a smaller one behind it meet on the same line of sight
some way into the video, going opposite ways. What collisions make of it is checked afterwards, see `sampling`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from slotkeeper.scenes.camera import Camera
from slotkeeper.scenes.families import SceneFamily
from slotkeeper.scenes.physics import FRAMES_PER_SECOND, SceneObject, Wall

ARRANGED_SECONDS = 16 / FRAMES_PER_SECOND


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """The visible wedge of the ground as the first frame's camera sees it, in camera-aligned ground coordinates.

    eye: the camera's foot on the ground. slope: half width of the picture over distance. distance: of the middle.
    """

    eye: Float[np.ndarray, "2"]
    right: Float[np.ndarray, "2"]
    away: Float[np.ndarray, "2"]
    distance: float
    slope: float

    def ground(self, across: float, beyond: float) -> Float[np.ndarray, "2"]:
        """World point `across` to the right on the line `beyond` the middle (negative: nearer)."""
        return self.eye + self.away * (self.distance + beyond) + self.right * across

    def half_width(self, beyond: float) -> float:
        """Half of what the picture shows at that line, units."""
        return (self.distance + beyond) * self.slope


def first_view(camera: Camera) -> View:
    """What the camera's first frame shows of the ground."""
    forward = camera.axes[0, 2, :2]
    distance = float(np.linalg.norm(camera.eyes[0, :2]))
    return View(
        eye=camera.eyes[0, :2],
        right=camera.axes[0, 0, :2],
        away=forward / np.linalg.norm(forward),
        distance=distance,
        slope=0.5 / camera.focal,
    )


def picture_walls(view: View, depths: tuple[float, float]) -> tuple[Wall, ...]:
    """Planes along the picture's left and right border, and near and far limits."""
    near, far = (view.ground(0.0, limit) for limit in depths)
    walls = [(near, view.away), (far, -view.away)]
    for side in (-1.0, 1.0):
        inward = -side * view.right + view.slope * view.away
        walls.append((view.eye, inward / np.linalg.norm(inward)))
    return tuple(Wall(point=(float(p[0]), float(p[1])), normal=(float(n[0]), float(n[1]))) for p, n in walls)


def ground_radius(thing: SceneObject) -> float:
    """Radius of the circle on the ground that holds the object."""
    return thing.half[0] * (float(np.sqrt(2)) if thing.shape == "box" else 1.0)


def _placed(
    thing: SceneObject, spot: Float[np.ndarray, "2"], velocity: Float[np.ndarray, "2"], *, is_kept: bool
) -> SceneObject:
    start = (float(spot[0]), float(spot[1]), thing.half[2] + 1e-3)
    return dataclasses.replace(thing, start=start, velocity=(float(velocity[0]), float(velocity[1])), is_kept=is_kept)


def _crossing(
    view: View,
    front: SceneObject,
    back: SceneObject,
    seconds: float,
    family: SceneFamily,
    generator: np.random.Generator,
) -> tuple[SceneObject, SceneObject]:
    """Two objects that meet on one line of sight after `seconds`, each going its way."""
    beyond = float(generator.uniform(family.depths[0] + 0.9, 0.2))
    gap = ground_radius(front) + ground_radius(back) + float(generator.uniform(0.1, 0.3))
    across = float(generator.uniform(-0.35, 0.35)) * view.half_width(beyond)
    side = float(generator.choice([-1.0, 1.0]))
    fast, slow = generator.uniform(family.speed[0], family.speed[1], size=2)
    placed = []
    for thing, line, pace in ((front, beyond, side * fast), (back, beyond + gap, -side * slow)):
        meeting = view.ground(across * (view.distance + line) / (view.distance + beyond), line)
        drift = view.right * pace + view.away * float(generator.uniform(-0.12, 0.12))
        placed.append(_placed(thing, meeting - drift * seconds, drift, is_kept=True))
    return placed[0], placed[1]


def _wanderer(view: View, thing: SceneObject, family: SceneFamily, generator: np.random.Generator) -> SceneObject:
    """An object anywhere in the view on its way to anywhere, or one that comes in or goes out."""
    pace = generator.uniform(*family.speed)
    radius = ground_radius(thing)
    fate = generator.random()
    beyond, target = generator.uniform(family.depths[0] + radius, family.depths[1] - radius, size=2)
    across, aim = generator.uniform(-1, 1, size=2)
    width = view.half_width(beyond)
    spot = view.ground(across * max(width - 1.1 * radius, 0.1), beyond)
    goal = view.ground(aim * view.half_width(target) * 0.6, target)
    if fate < family.entering_share:
        side = float(np.sign(across))
        spot = view.ground(side * (width + radius * 1.5), beyond)
        goal = view.ground(aim * 0.4, target)
        pace = max(pace, 0.75 * family.speed[1])
    elif fate < family.entering_share + family.leaving_share:
        goal = view.ground(float(np.sign(across)) * (width + 6.0), beyond)
        pace = family.speed[1] * generator.uniform(0.9, 1.2)
    heading = (goal - spot) / max(float(np.linalg.norm(goal - spot)), 1e-3)
    is_kept = fate >= family.entering_share + family.leaving_share
    return _placed(thing, spot, heading * pace, is_kept=is_kept)


def _is_free(thing: SceneObject, others: list[SceneObject]) -> bool:
    for other in others:
        apart = np.hypot(thing.start[0] - other.start[0], thing.start[1] - other.start[1])
        if apart < ground_radius(thing) + ground_radius(other) + 0.05:
            return False
    return True


def _is_inside(thing: SceneObject, walls: tuple[Wall, ...]) -> bool:
    """Whether the object starts clear of all walls, or none holds it."""
    spot = np.array(thing.start[:2])
    margins = [float((spot - np.array(wall.point)) @ np.array(wall.normal)) for wall in walls]
    return not thing.is_kept or min(margins) > ground_radius(thing) + 0.02


def place(
    cast: list[SceneObject],
    view: View,
    walls: tuple[Wall, ...],
    family: SceneFamily,
    seconds: float,
    generator: np.random.Generator,
) -> tuple[SceneObject, ...] | None:
    """Give each object a start and a velocity, in shuffled order; None where they find no room.

    The cast's first objects are pairs of front and back, as many as the family arranges crossings.
    """
    placed: list[SceneObject] = []
    for pair in range(num_pairs(family, len(cast))):
        for _ in range(1 + (30 * pair)):
            meeting = float(generator.uniform(0.35, 0.6)) * min(seconds, ARRANGED_SECONDS)
            front, back = _crossing(view, cast[2 * pair], cast[2 * pair + 1], meeting, family, generator)
            is_inside = _is_inside(front, walls) and _is_inside(back, walls)
            if is_inside and _is_free(front, [*placed, back]) and _is_free(back, placed):
                placed += [front, back]
                break
        else:
            return None
    for thing in cast[len(placed) :]:
        for _ in range(40):
            candidate = _wanderer(view, thing, family, generator)
            if _is_free(candidate, placed) and _is_inside(candidate, walls):
                placed.append(candidate)
                break
        else:
            return None
    order = generator.permutation(len(placed))
    return tuple(placed[int(index)] for index in order)


def num_pairs(family: SceneFamily, num_objects: int) -> int:
    """How many crossings are arranged among that many objects."""
    return min(family.num_crossings, num_objects // 2)
