"""Several processes that train together, as torchrun would start them, but forked: nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GIVE_UP_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal's number), and what it printed."""

    code: int | None
    printed: str


def run_together(work: Callable[[int], int | None], folder: Path, num_processes: int = 2) -> list[Ended]:
    """Run `work(rank)` in each process; it returns the exit code, None for 0. What hangs is killed after a minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_child, args=(work, rank, num_processes, port, folder / f"rank-{rank}.txt"))
        for rank in range(num_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(GIVE_UP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
    return [
        Ended(process.exitcode, (folder / f"rank-{rank}.txt").read_text()) for rank, process in enumerate(processes)
    ]


def _child(work: Callable[[int], int | None], rank: int, num_processes: int, port: int, printed: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with printed.open("w", buffering=1) as sys.stderr:
        sys.stdout = sys.stderr
        try:
            code = work(rank) or 0
        except SystemExit as leave:
            code = int(str(leave.code or 0))
        except BaseException:
            traceback.print_exc()
            code = 1
    os._exit(code)
