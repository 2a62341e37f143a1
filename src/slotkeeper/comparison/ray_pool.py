"""Runs cells as Ray tasks, on one machine or on a cluster whose machines share the comparison's folder."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from slotkeeper.comparison.pool import KILLED, Ended, Room, cell_environment
from slotkeeper.ray_library import import_ray

_POLL_SECONDS = 0.5


def run_with_ray(waiting: deque[Path], room: Room) -> Generator[Ended | None, None, None]:
    """As `pool.run_side_by_side`, but Ray decides where and how many at a time; each task takes `room.threads` CPUs.

    A Ray that already runs is used (by RAY_ADDRESS), else one is started here and ended at the end.

    Raises:
        ConfigError: Ray is not installed.
    """
    ray = import_ray("running cells with Ray", "leave Ray out")
    was_running = ray.is_initialized()
    if not was_running:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        task = ray.remote(num_cpus=room.threads, max_retries=0)(_run_one)
        yield from _drive(ray, task, waiting, room)
    finally:
        if not was_running:
            ray.shutdown()


def _drive(ray: Any, task: Any, waiting: deque[Path], room: Room) -> Iterator[Ended | None]:
    running: dict[Any, Path] = {}
    while waiting or running:
        while waiting:
            folder = waiting.popleft()
            running[task.remote(str(folder.resolve()), str(Path.cwd()), room.threads)] = folder
        ended, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
        if not ended:
            yield None
        for reference in ended:
            yield Ended(folder=running.pop(reference), code=_code(ray, reference))


def _code(ray: Any, reference: Any) -> int:
    """The exit code; a task whose worker died counts as killed."""
    try:
        return int(ray.get(reference))
    except ray.exceptions.RayError:
        return KILLED


def _run_one(folder: str, place: str, threads: int) -> int:
    """The body of a task: the cell's own process, which ends with the task's."""
    return subprocess.run(_command(folder), cwd=place, env=cell_environment(threads), check=False).returncode


def _command(folder: str) -> list[str]:
    return [sys.executable, "-P", "-m", "slotkeeper.comparison.launcher", folder]
