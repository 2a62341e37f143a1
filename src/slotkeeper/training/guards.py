"""What may stop a training: numbers that aren't finite, and a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from torch import Tensor

from slotkeeper.errors import DivergenceError


class FiniteGuard:
    """Checks each step's loss and gradient one step later, so that a GPU never waits for the check."""

    def __init__(self) -> None:
        self._waiting: tuple[int, dict[str, Tensor]] | None = None

    def watch(self, step: int, values: dict[str, Tensor], last_good: Path | None) -> None:
        """Check the previous step, then remember this one.

        Raises:
            DivergenceError: as `check`.
        """
        self.check(last_good)
        self._waiting = (step, values)

    def check(self, last_good: Path | None) -> None:
        """Check the remembered step now, for instance before its weights are saved.

        Raises:
            DivergenceError: a value is NaN or infinite; the sentence names the step and the last good checkpoint.
        """
        if self._waiting is None:
            return
        step, values = self._waiting
        self._waiting = None
        for name, value in values.items():
            if not bool(value.isfinite()):
                kept = f"the last good checkpoint is {last_good}" if last_good else "there is no checkpoint yet"
                raise DivergenceError(
                    f"{name} became {float(value)} at step {step}; {kept}; "
                    "a lower training.lr or training.precision=fp32 may help",
                    step=step,
                )


class StopRequest:
    """Whether Ctrl-C or a termination signal has asked to stop: its number, or 0."""

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one acts as if nobody listened.

    Only a process's main thread can listen; in others nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: FrameType | None) -> None:
        request.number = number
        signal.signal(number, previous[signal.Signals(number)])

    try:
        for number in previous:
            signal.signal(number, note)
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def signal_name(number: int) -> str:
    """How a user knows it."""
    return "Ctrl-C" if number == signal.SIGINT else "a termination signal"
