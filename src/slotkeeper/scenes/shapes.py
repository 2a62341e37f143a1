"""Where a ray enters a solid: each shape is convex, centred on its own origin, cylinders standing along z.

Rays have float32 origins and directions `3 m` in the shape's coordinates, NumPy arrays or tensors; directions need not
be of unit length. Distances count in lengths of the direction; infinite where the ray misses or starts inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float

from slotkeeper.scenes.arrays import Array, namespace

Vectors = Float[Array, "3 m"]
Distances = Float[Array, " m"]
Spread = Float[Array, "3 #m"]
"""Vectors, or one for all rays."""
Halves = Float[Array, "3 g"]
"""Half extents, one for all rays (g = 1) or one for each (g = m)."""

_NEAREST = 1e-4
_TINY = 1e-9


def _entry(near: Distances, far: Distances) -> Distances:
    return namespace(near).where((near <= far) & (near > _NEAREST), near, math.inf)


def dot(first: Spread, second: Spread) -> Float[Array, " #m"]:
    """Inner product of each pair."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _slab(origin: Distances, direction: Distances, half: Float[Array, " g"]) -> tuple[Distances, Distances]:
    xp = namespace(origin)
    safe = xp.where(xp.abs(direction) < _TINY, _TINY, direction)
    first, second = (-half - origin) / safe, (half - origin) / safe
    return xp.minimum(first, second), xp.maximum(first, second)


def _roots(a: Distances, b: Distances, c: Distances) -> tuple[Distances, Distances]:
    """Interval where a t^2 + 2 b t + c <= 0; empty (near > far) where there is none."""
    square = b * b - a * c
    xp = namespace(square)
    root = xp.sqrt(square.clip(0))
    near, far = (-b - root) / a, (-b + root) / a
    return xp.where(square < 0, math.inf, near), far


def enter_sphere(origin: Vectors, direction: Vectors, half: Halves) -> Distances:
    """Sphere of radius half[0]."""
    a, b = dot(direction, direction), dot(origin, direction)
    return _entry(*_roots(a, b, dot(origin, origin) - half[0] * half[0]))


def enter_box(origin: Vectors, direction: Vectors, half: Halves) -> Distances:
    """Box of edges 2 half."""
    slabs = [_slab(origin[i], direction[i], half[i]) for i in range(3)]
    xp = namespace(origin)
    near = xp.maximum(xp.maximum(slabs[0][0], slabs[1][0]), slabs[2][0])
    far = xp.minimum(xp.minimum(slabs[0][1], slabs[1][1]), slabs[2][1])
    return _entry(near, far)


def enter_cylinder(origin: Vectors, direction: Vectors, half: Halves) -> Distances:
    """Cylinder of radius half[0] and height 2 half[2]."""
    a = (direction[0] * direction[0] + direction[1] * direction[1]).clip(1e-12)
    b = origin[0] * direction[0] + origin[1] * direction[1]
    c = origin[0] * origin[0] + origin[1] * origin[1] - half[0] * half[0]
    side, caps = _roots(a, b, c), _slab(origin[2], direction[2], half[2])
    xp = namespace(a)
    return _entry(xp.maximum(side[0], caps[0]), xp.minimum(side[1], caps[1]))


def sphere_normal(point: Vectors, half: Halves) -> Vectors:
    """Outward unit normal at a point of the surface."""
    return point / half[0]


def box_normal(point: Vectors, half: Halves) -> Vectors:
    """Outward unit normal of the face that is nearest to the point."""
    xp = namespace(point)
    scaled = point / half
    face = xp.abs(scaled).argmax(axis=0)
    axes = xp.arange(3, device=point.device)
    return xp.where(face == axes[:, None], xp.sign(scaled), 0.0)


def cylinder_normal(point: Vectors, half: Halves) -> Vectors:
    """Outward unit normal of the side or of the cap, whichever is nearer."""
    xp = namespace(point)
    radial = xp.hypot(point[0], point[1]) / half[0]
    is_cap = xp.abs(point[2]) / half[2] > radial
    scale = half[0] * radial.clip(_TINY)
    return xp.stack(
        [
            xp.where(is_cap, 0.0, point[0] / scale),
            xp.where(is_cap, 0.0, point[1] / scale),
            xp.where(is_cap, xp.sign(point[2]), 0.0),
        ]
    )


ENTER: dict[str, Callable[[Vectors, Vectors, Halves], Distances]] = {
    "sphere": enter_sphere,
    "box": enter_box,
    "cylinder": enter_cylinder,
}
NORMAL: dict[str, Callable[[Vectors, Halves], Vectors]] = {
    "sphere": sphere_normal,
    "box": box_normal,
    "cylinder": cylinder_normal,
}
