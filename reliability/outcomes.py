"""What became of one mutated input."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from slotkeeper.cli import main
from slotkeeper.errors import SlotkeeperError


class Outcome(StrEnum):
    """Refused with one sentence, accepted as it is, or used in part and named."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    IN_PART = "in part"


_BY_EXIT_CODE = {0: Outcome.ACCEPTED, 2: Outcome.REFUSED, 3: Outcome.IN_PART}


class BrokenPromiseError(Exception):
    """The product did something that its documents don't promise."""


def run_command(*arguments: object) -> Outcome:
    """Run the command line in this process.

    Raises:
        BrokenPromiseError: the exit code or what stands on stderr isn't as documented.
    """
    words = [str(argument) for argument in arguments]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), _warnings_as_users_see_them():
        code = main(words)
    told = stderr.getvalue().strip().splitlines()
    if code not in _BY_EXIT_CODE:
        raise BrokenPromiseError(f"exit code {code} of {words[:2]}")
    if code == 2:
        _check_sentence(told[-1].removeprefix("slotkeeper: ") if told else "")
    if code == 3 and not any("skipped: " in line for line in told):
        raise BrokenPromiseError(f"exit code 3 of {words[:2]}, but nothing is named")
    return _BY_EXIT_CODE[code]


def attempt(action: Callable[[], Any]) -> Outcome:
    """Call a part of the library; its errors must be the documented ones, in one sentence."""
    try:
        with _warnings_as_users_see_them():
            action()
    except SlotkeeperError as error:
        _check_sentence(str(error))
        return Outcome.REFUSED
    return Outcome.ACCEPTED


def _check_sentence(sentence: str) -> None:
    if not sentence.strip() or "\n" in sentence:
        raise BrokenPromiseError(f"not one sentence: {sentence!r:.300}")


def _warnings_as_users_see_them() -> warnings.catch_warnings:
    return warnings.catch_warnings(action="ignore")
