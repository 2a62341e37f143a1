"""Numbers that change while a run goes on: one for the whole run, or pairs (from step, number)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from slotkeeper.config.limits import require_least
from slotkeeper.errors import ConfigError

Steps = int | list[tuple[int, int]]
"""A number for the whole run, or pairs (from step, number)."""
Length = int | Literal["all"]
Lengths = Length | list[tuple[int, Length]]
"""The same for frames; "all" are as many as the shortest video has, and become that number when a run begins."""


def pairs_of(steps: Steps | Lengths) -> Sequence[tuple[int, Length]]:
    """Pairs (from step, number), also where there is but one number."""
    return steps if isinstance(steps, list) else [(0, steps)]


def value_at(steps: Steps | Lengths, step: int) -> int:
    """The number that holds at `step`, counted from 0."""
    value = _length_at(steps, step)
    assert isinstance(value, int), "'all' becomes a number before any step"
    return value


def least_at(steps: Steps | Lengths, step: int) -> int:
    """The number that holds at `step`; 1 where it is "all", which isn't known yet."""
    value = _length_at(steps, step)
    return 1 if value == "all" else value


def require_steps(key: str, steps: Steps | Lengths, least: int) -> None:
    """Refuse a schedule that doesn't rise from step 0, or has a number below `least`.

    Raises:
        ConfigError: names the key.
    """
    pairs = pairs_of(steps)
    starts = [start for start, _ in pairs]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise ConfigError(f"{key} must be pairs [from step, number] with steps rising from 0, got {pairs}")
    for _, value in pairs:
        if value != "all":
            require_least(key, value, least)


def _length_at(steps: Steps | Lengths, step: int) -> Length:
    return next(value for start, value in reversed(pairs_of(steps)) if start <= step)
