"""Peak memory of a workload, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from benchmarks.workloads import Settings, Workload

_NUM_CALLS = 2


def peak_megabytes(maker: Callable[[Settings], Workload], settings: Settings) -> float:
    """What two calls need above what the process held before the workload was made, in MB; on a GPU its own memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(maker, settings, sender))
    process.start()
    sender.close()
    peak = float(receiver.recv())
    process.join()
    return peak


def _run(maker: Callable[[Settings], Workload], settings: Settings, sender: Connection) -> None:
    before = _status("VmRSS")
    workload = maker(settings)
    for _ in range(_NUM_CALLS):
        workload.run()
    on_gpu = settings.device.type == "cuda"
    sender.send(torch.cuda.max_memory_allocated() / 1e6 if on_gpu else _status("VmHWM") - before)


def _status(name: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6
