"""Runs cells side by side, each in a process of its own, whose end never ends anything else."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 150.0
_MEMORY_PER_CELL = 2.5e9
"""Bytes that a small cell may need, decoded videos included."""
KILLED = -9


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that ended. code: its exit code, or a signal's number, negative."""

    folder: Path
    code: int


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much runs at a time. jobs: processes. threads: of each."""

    jobs: int
    threads: int


def find_room(jobs: int | None, num_cells: int, *, has_gpu: bool) -> Room:
    """So many processes side by side, or as many as cores and free memory allow, the GPU's too where there is one.

    Small models leave most of a GPU idle, since they wait for their kernels to be started; several share it well. The
    cores are shared out among the processes; a smaller OMP_NUM_THREADS of the user's holds.
    """
    cores = len(os.sched_getaffinity(0))
    if jobs is None:
        memory = min(_free_memory(), torch.cuda.mem_get_info()[0]) if has_gpu else _free_memory()
        jobs = min(cores, max(1, int(memory / _MEMORY_PER_CELL)))
    jobs = max(1, min(jobs, num_cells))
    threads = max(1, cores // jobs)
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return Room(jobs=jobs, threads=min(threads, int(wanted)) if wanted.isdecimal() and int(wanted) else threads)


def cell_environment(threads: int) -> dict[str, str]:
    """The environment of a cell's process: its threads, and the modules that this process could import."""
    places = os.pathsep.join(str(Path(place or ".").resolve()) for place in sys.path)
    number = str(threads)
    return dict(os.environ) | {"OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "PYTHONPATH": places}


def run_side_by_side(waiting: deque[Path], room: Room) -> Generator[Ended | None, None, None]:
    """Run the cells in these folders, and those appended meanwhile; gives each as it ends, and None now and then.

    When the iterator is closed, running cells are stopped after saving a checkpoint. Where the process that starts
    the cells is killed, its cells are reported as killed, and another takes its place.
    """
    while waiting:
        running: set[Path] = set()
        with _launcher(room.threads) as launcher:
            yield from _drive(launcher, waiting, running, room.jobs)
        for folder in running:
            yield Ended(folder=folder, code=KILLED)


def _drive(
    launcher: subprocess.Popen[bytes], waiting: deque[Path], running: set[Path], jobs: int
) -> Iterator[Ended | None]:
    """Keep `jobs` cells running; ends early, with cells in `running`, where the launcher is gone."""
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    unread = b""
    while waiting or running:
        while waiting and len(running) < jobs:
            folder = waiting.popleft()
            running.add(folder)
            with suppress(BrokenPipeError):
                launcher.stdin.write(json.dumps(str(folder)).encode() + b"\n")
                launcher.stdin.flush()
        if not select.select([launcher.stdout], [], [], _POLL_SECONDS)[0]:
            yield None
            continue
        part = os.read(launcher.stdout.fileno(), 1 << 16)
        if not part:
            return
        *lines, unread = (unread + part).split(b"\n")
        for line in lines:
            name, code = json.loads(line)
            running.discard(Path(name))
            yield Ended(folder=Path(name), code=code)


@contextmanager
def _launcher(threads: int) -> Iterator[subprocess.Popen[bytes]]:
    """The process that starts cells, in a session of its own, so that Ctrl-C reaches only us."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "slotkeeper.comparison.launcher"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=cell_environment(threads),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _free_memory() -> float:
    """Bytes that are free or can be freed."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return float("inf")
