"""Starts cells as forks of one process that has imported everything once: seconds and memory saved for each.

Reads a folder as JSON per line from stdin and writes [folder, exit code] per line to stdout, a signal's number
negative. When stdin ends, its parent is gone or wants to stop: running cells are asked to save their checkpoints.
With a folder as its argument it is itself the process of that one cell.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from slotkeeper.comparison import worker

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 120.0
"""How long running cells may take to save their checkpoints."""


def serve() -> None:
    """Start what is asked for until stdin ends, then wait for the running cells to stop."""
    running: dict[int, str] = {}
    waiting = b""
    while True:
        if select.select([0], [], [], _LOOK_SECONDS)[0]:
            part = os.read(0, 1 << 16)
            if not part:
                break
            *lines, waiting = (waiting + part).split(b"\n")
            for line in lines:
                folder = json.loads(line)
                running[_fork(Path(folder))] = folder
        _report_ended(running)
    for process in running:
        os.kill(process, signal.SIGTERM)
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while running and time.monotonic() < give_up:
        _report_ended(running)
        time.sleep(_LOOK_SECONDS)
    for process in running:
        os.kill(process, signal.SIGKILL)


def _fork(folder: Path) -> int:
    """A new process for the cell in `folder`; returns its number."""
    parent = os.getpid()
    process = os.fork()
    if process:
        return process
    code = worker.CRASHED
    try:
        os.close(0)
        worker.print_into(folder / "log.txt")
        worker.stop_with_parent(parent)
        code = worker.work(folder)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):  # where the log's disk is full
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _report_ended(running: dict[int, str]) -> None:
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        line = json.dumps([running.pop(process), os.waitstatus_to_exitcode(status)])
        try:
            os.write(1, line.encode() + b"\n")
        except BrokenPipeError:  # nobody listens any more
            return


def _work_alone(folder: Path) -> int:
    worker.stop_with_parent(os.getppid())
    worker.print_into(folder / "log.txt")
    return worker.work(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(_work_alone(Path(sys.argv[1])))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    serve()
