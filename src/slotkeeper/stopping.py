"""Signals that ask to stop, turned into something that a loop can look at."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether Ctrl-C or a termination signal has asked to stop: its number, or 0."""

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def terminated_like_interrupted() -> Iterator[StopRequest]:
    """Raise KeyboardInterrupt at a SIGTERM, too, wherever the main thread is; the request says which signal it was."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        request.number = number
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def own_termination() -> Iterator[None]:
    """Keep what SIGTERM does from a library that changes it in here."""
    previous = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, previous)


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
