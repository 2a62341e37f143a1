"""Each side of a comparison lives in a process of its own, so that neither's memory or settings touch the other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import torch

from benchmarks.machine import Machine, seconds_of
from benchmarks.roofline import Work, work_of
from benchmarks.workloads import Settings, Workload
from slotkeeper.freed_memory import keep_freed_memory

_LEAST_SECONDS, _LONG_SECONDS = 0.3, 3.0
"""Of one measurement; short workloads are called several times for it. Long ones are warm after one call."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a side says once it is warm. frames: of one call."""

    frames: int
    dtype: torch.dtype


class Side:
    """One workload in its own process; use it as a context manager. Only one side works at a time.

    is_ours: with the memory settings of slotkeeper's commands; others run as their users would run them.
    """

    def __init__(self, maker: Callable[[Settings], Workload], settings: Settings, *, is_ours: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(maker, settings, is_ours, far_end))
        self._process.start()
        far_end.close()
        self.ready: Ready = self._pipe.recv()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join()

    def seconds_per_frame(self) -> float:
        """One measurement."""
        return float(self._ask("time"))

    def waiting_share(self) -> float | None:
        """Of the last measurement's time, how much was spent waiting for data; None where there is none to wait for."""
        answer = self._ask("waiting")
        return None if answer is None else float(answer)  # type: ignore[arg-type]

    def peak_megabytes(self) -> float:
        """What the workload needed so far above the process before it; on a GPU its own memory."""
        return float(self._ask("peak"))

    def work(self, machine: Machine) -> Work:
        """What one call does, and its limit on this machine."""
        answer = self._ask(machine)
        assert isinstance(answer, Work)
        return answer

    def _ask(self, question: object) -> float | Work:
        self._pipe.send(question)
        answer: float | Work = self._pipe.recv()
        return answer


def _serve(maker: Callable[[Settings], Workload], settings: Settings, is_ours: bool, pipe: Connection) -> None:
    """Answer until the other end is closed."""
    torch.set_num_threads(settings.num_threads)
    if is_ours:
        keep_freed_memory()
    before = _status("VmRSS")
    workload = maker(settings)
    calls = _calls_for(workload, settings.device)
    pipe.send(Ready(frames=workload.frames, dtype=workload.dtype))
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        if question == "time":
            if workload.waiting is not None:
                workload.waiting()  # begin counting anew
            passed = seconds_of(lambda: [workload.run() for _ in range(calls)], settings.device)
            pipe.send(passed / calls / workload.frames)
        elif question == "waiting":
            pipe.send(None if workload.waiting is None else workload.waiting())
        elif question == "peak":
            on_gpu = settings.device.type == "cuda"
            pipe.send(torch.cuda.max_memory_allocated() / 1e6 if on_gpu else _status("VmHWM") - before)
        else:
            pipe.send(work_of(workload.run, question))


def _calls_for(workload: Workload, device: torch.device) -> int:
    """How many calls make one measurement; finding out warms up."""
    once = seconds_of(workload.run, device)
    if once < _LONG_SECONDS:
        once = min(seconds_of(workload.run, device) for _ in range(2))
    return max(1, round(_LEAST_SECONDS / once))


def _status(name: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6
