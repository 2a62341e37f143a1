"""Runs one command and turns what a user can put right into one sentence and an exit code."""

from __future__ import annotations

import errno
import importlib.metadata
import io
import os
import signal
import sys
from collections.abc import Sequence

from slotkeeper.cli.outcomes import DONE, USER_ERROR
from slotkeeper.cli.parser import make_parser
from slotkeeper.errors import SlotkeeperError
from slotkeeper.stopping import StopRequest, signal_name, terminated_like_interrupted

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_BAD_NAME = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0 done, 2 the user's input, 3 finished with some inputs skipped. Anything unforeseen keeps its traceback, and
    Python exits with 1.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be Unicode
    request = StopRequest()
    try:
        parsed = make_parser(importlib.metadata.version("slotkeeper")).parse_args(arguments)
        with terminated_like_interrupted() as request:
            from slotkeeper.cli import commands  # deferred: brings in torch

            return commands.run(parsed)
    except SlotkeeperError as error:
        return _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        return _fail(f"stopped by {signal_name(request.number or signal.SIGINT)}")
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno in _NO_ROOM:
            return _fail(f"can't write {error.filename or 'the results'}: {error.strerror}")
        if error.errno in _BAD_NAME:
            return _fail(f"can't use {error.filename or 'a file'}: {error.strerror}")
        raise


def _fail(sentence: str) -> int:
    print(f"slotkeeper: {sentence}", file=sys.stderr)
    return USER_ERROR
