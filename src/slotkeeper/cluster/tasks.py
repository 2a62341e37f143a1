"""Attempts as Ray tasks: a bounded number at a time, each ending in results, a reason, or its worker's death."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotkeeper.cluster.worker import TrackingJob, track_in_worker
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.errors import ConfigError, SlotkeeperError, first_line
from slotkeeper.stopping import own_termination
from slotkeeper.track_files import TrackedVideo

GPU_SHARE = 0.25
"""Small models leave most of a GPU idle, so four processes share one."""
_PER_CORE = 2
_LEAST = 2
_POLL_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0
_OBJECT_STORE_BYTES = 128 * 2**20
_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A video that is tracked, or waits for it. staging: where its results go. number: from 1."""

    name: str
    path: Path
    staging: Path
    number: int


@dataclass(frozen=True, kw_only=True)
class Died:
    """The end of an attempt without a result. trace: of an error that is a bug, or None where the process died."""

    reason: str
    trace: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an attempt ended."""

    attempt: Attempt
    outcome: TrackedVideo | SkippedVideo | Died


@contextmanager
def running_ray(ray: Any, *, address: str | None, jobs: int | None) -> Iterator[None]:
    """A Ray to use: the one that already runs in this process, the one at `address`, or one of this machine's own.

    What Ray prints on stdout about dead workers and machines is left out: the ledger has it, and stdout is for results.

    Raises:
        ConfigError: there is no Ray at `address`.
    """
    if ray.is_initialized():
        yield
        return
    with redirect_stdout(None):
        with own_termination():
            if address is None:
                _start(ray, jobs or len(os.sched_getaffinity(0)))
            else:
                _connect(ray, address)
        try:
            yield
        finally:
            ray.shutdown()


def _start(ray: Any, num_cores: int) -> None:
    own = {"num_cpus": num_cores, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        ray.init(address="local", **own, **_QUIET)
    except (ValueError, RuntimeError, OSError) as error:
        raise ConfigError(f"can't start Ray on this machine: {first_line(error)}") from error


def _connect(ray: Any, address: str) -> None:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"there is no Ray at '{address}': {first_line(error)}") from error
    try:
        ray.init(address=address, **_QUIET)
    except (ValueError, RuntimeError, OSError) as error:
        raise ConfigError(
            f"can't use Ray at '{address}': {first_line(error)}; where it asks for a token, RAY_AUTH_MODE=token helps"
        ) from error


def make_task(ray: Any, job: TrackingJob) -> Callable[[Attempt], Any]:
    """What hands an attempt to Ray. Ray itself never repeats one; a worker keeps its model for all its videos."""
    share = {"num_gpus": GPU_SHARE} if job.device == "cuda" else {}
    task = ray.remote(num_cpus=1, max_retries=0, max_calls=0, **share)(track_in_worker)
    return lambda attempt: task.remote(job, str(attempt.path), str(attempt.staging), attempt.name)


def most_in_flight(ray: Any, job: TrackingJob, jobs: int | None) -> int:
    """How many attempts to hand to Ray at a time: each worker has one and the next, so others wait at no cost."""
    if jobs is not None:
        return jobs
    resources = ray.cluster_resources()
    num_workers = float(resources.get("CPU", 0))
    if job.device == "cuda":
        num_workers = min(num_workers, resources.get("GPU", 0) / GPU_SHARE)
    return max(_LEAST, math.ceil(_PER_CORE * num_workers))


def run_attempts(
    ray: Any, start: Callable[[Attempt], Any], waiting: deque[Attempt], room: Callable[[], int]
) -> Generator[Ended, None, None]:
    """Run what waits, and what is appended meanwhile; gives each attempt as it ends.

    When the iterator is closed, what still runs is killed.

    Raises:
        SlotkeeperError: what an attempt raised that concerns all of them.
    """
    running: dict[Any, Attempt] = {}
    try:
        while waiting or running:
            limit = room()
            while waiting and len(running) < limit:
                attempt = waiting.popleft()
                running[start(attempt)] = attempt
            ended, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
            for reference in ended:
                yield Ended(attempt=running.pop(reference), outcome=_outcome(ray, reference))
    finally:
        _cancel(ray, list(running))


def _outcome(ray: Any, reference: Any) -> TrackedVideo | SkippedVideo | Died:
    try:
        outcome: TrackedVideo | SkippedVideo = ray.get(reference)
        return outcome
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, SlotkeeperError):
            raise cause from error
        return Died(reason=f"{type(cause).__name__}: {first_line(cause)}", trace=str(error))
    except ray.exceptions.RayError as error:
        return Died(reason=first_line(error))


def _cancel(ray: Any, references: list[Any]) -> None:
    """Kill what runs, and wait until it is gone, so that its folder can be removed."""
    with suppress(ray.exceptions.RayError):
        for reference in references:
            ray.cancel(reference, force=True)
        if references:
            ray.wait(references, num_returns=len(references), timeout=_PATIENCE_SECONDS)
