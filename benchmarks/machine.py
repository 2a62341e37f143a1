"""What this machine can do at best: matrix products and moving memory, measured now."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_SIDE, _NUM_BYTES, _ROUNDS = 2048, 1 << 28, 7


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Rates in FLOP per second by type, and bandwidth in bytes per second (read and written, both counted)."""

    name: str
    device: torch.device
    num_threads: int
    matrix_rates: dict[torch.dtype, float]
    bandwidth: float

    def rate(self, dtype: torch.dtype) -> float:
        """The matrix rate of a type; that of float32 for types that were not measured."""
        return self.matrix_rates.get(dtype, self.matrix_rates[torch.float32])


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long one call takes; by CUDA events on a GPU."""
    if device.type == "cuda":
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        run()
        ended.record()
        torch.cuda.synchronize(device)
        return began.elapsed_time(ended) / 1000
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_machine(device: torch.device, dtypes: tuple[torch.dtype, ...]) -> Machine:
    """Best of several rounds each: limits are what is possible, not what is usual."""
    rates = {dtype: _matrix_rate(device, dtype) for dtype in dtypes}
    source = torch.ones(_NUM_BYTES // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return Machine(
        name=name,
        device=device,
        num_threads=torch.get_num_threads(),
        matrix_rates=rates,
        bandwidth=2 * _NUM_BYTES / seconds,
    )


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """A large product; a smaller one where the first try shows that this type has no fast way here."""
    side = _SIDE // 8
    small = _product(side, device, dtype)
    seconds = _best(small, device)
    if 2 * side**3 / seconds < 1e10:
        return 2 * side**3 / seconds
    return 2 * _SIDE**3 / _best(_product(_SIDE, device, dtype), device)


def _product(side: int, device: torch.device, dtype: torch.dtype) -> Callable[[], Tensor]:
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: left @ right


def _best(run: Callable[[], object], device: torch.device) -> float:
    run()
    return min(seconds_of(run, device) for _ in range(_ROUNDS))


def median(values: list[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def _cpu_name() -> str:
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}"
