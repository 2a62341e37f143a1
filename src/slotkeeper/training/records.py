"""What a training writes down as it goes: averages since the last line, as JSONL and for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from slotkeeper.errors import OutputError
from slotkeeper.training.event_file import EventFile


class Averages:
    """Sums of a few scalars on their own device; read only when a line is due, so that a GPU isn't waited for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one step's values; the names must not change between readings."""
        for name, value in values.items():
            known = self._sums.get(name)
            self._sums[name] = value.detach().clone() if known is None else known + value.detach()
        self._count += 1

    def read(self) -> dict[str, float]:
        """The means since the last reading."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def state(self) -> tuple[dict[str, Tensor], int]:
        """What was added since the last reading: sums, and of how many steps."""
        return dict(self._sums), self._count

    def restore(self, sums: Mapping[str, Tensor], count: int) -> None:
        """Go on from what `state` gave."""
        self._sums, self._count = dict(sums), count


class Stopwatch:
    """Frames seen, and the share of the time spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._waited = 0.0
        self._frames = 0

    def add(self, *, waited: float, frames: int) -> None:
        """Count one step: seconds waited for its clips, and their frames."""
        self._waited += waited
        self._frames += frames

    def pause(self, seconds: int | float) -> None:
        """Leave out time that passed for something else."""
        self._start += seconds

    def read(self) -> dict[str, float]:
        """Frames per second and the share of time waiting for data."""
        now = time.perf_counter()
        passed = max(now - self._start, 1e-9)
        values = {"frames_per_second": self._frames / passed, "data_wait_share": self._waited / passed}
        self._start, self._waited, self._frames = now, 0.0, 0
        return values


class RunLog:
    """Appends to `metrics.jsonl` and to a TensorBoard event file. Each line holds `step` and named numbers.

    What was written survives a kill.

    Raises:
        OutputError: here and in all methods, when the run's folder can't be written or the disk is full.
    """

    def __init__(self, run: Path, *, first_step: int):
        self._run = run
        with self._guarded():
            self._lines = (run / "metrics.jsonl").open("a", encoding="utf-8")
            self._events = EventFile(run, first_step=first_step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._lines, self._events):
            with suppress(OSError):  # all lines are flushed; only what failed before can fail again
                file.close()

    def write(self, step: int, values: Mapping[str, int | float]) -> None:
        """Write one line."""
        line = json.dumps({"step": step} | {name: _rounded(value) for name, value in values.items()})
        with self._guarded():
            self._lines.write(line + "\n")
            self._lines.flush()
            self._events.scalars(values, step)

    def picture(self, name: str, pixels: UInt8[np.ndarray, "h w 3"], step: int) -> None:
        """Show a picture in TensorBoard."""
        with self._guarded():
            self._events.picture(name, pixels, step)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"can't write the log in {self._run}: {error.strerror or error}") from error


def _rounded(value: int | float) -> float:
    return float(f"{value:.6g}")
