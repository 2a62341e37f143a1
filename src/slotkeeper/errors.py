"""What goes wrong because of a user's input: one sentence each, exit code 2.

Every message says what was expected, what came, and which file or key it concerns. Anything else that is raised
is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SlotkeeperError(Exception):
    """Base of all errors that a user can put right."""


class ConfigError(SlotkeeperError):
    """A setting, a flag or a component's name is unknown or out of range."""


class DataError(SlotkeeperError):
    """A folder, a mask file or a data set is missing or does not fit."""


class VideoError(DataError):
    """A video file can't be read, is empty, or ends too soon."""


class CheckpointError(SlotkeeperError):
    """Weights or a run folder are missing, damaged, foreign or too new."""


class OutputError(SlotkeeperError):
    """A result can't be written: no space, no permission, or not a folder."""


class TrainingError(SlotkeeperError):
    """Training can't go on, for instance because a signal asked to stop."""


class DivergenceError(TrainingError):
    """A loss or a gradient is not finite at `step`, counted from 1."""

    def __init__(self, message: str, *, step: int):
        super().__init__(message)
        self.step = step


class DamagedModelError(CheckpointError):
    """A model gives masks that are not finite numbers."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the end of an error sentence: the nearest known name, or all of them.

    >>> nearest_name("slot_atention", ["slot_attention", "identity"])
    "did you mean 'slot_attention'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known are: {', '.join(names)}"


def counted(number: int, noun: str) -> str:
    """A number of things in words that fit.

    >>> counted(1, "video"), counted(2, "frame")
    ('1 video', '2 frames')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def none_of(number: int, first: str, can_be: str = "used") -> str:
    """The sentence where of some videos not one is of use; of a single video its own reason is all.

    >>> none_of(1, "a.mp4 is empty"), none_of(3, "a.mp4 is empty", "scored")
    ('a.mp4 is empty', 'none of 3 videos can be scored; the first: a.mp4 is empty')
    """
    return first if number == 1 else f"none of {number} videos can be {can_be}; the first: {first}"


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
