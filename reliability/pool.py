"""Workers as processes that may hang or die; each number is tried, and what became of it is told."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

LONGEST = 10.0
"""Seconds of processor time that one input may take: the machine may be busy with other work."""
LONGEST_WAIT = 60.0
"""Seconds after which an input counts as hanging even if it takes no processor time."""
_POLL = 0.2
_LONGEST_START = 300.0
_ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """One worker process; a new one takes the place of one that died or had to be stopped."""

    def __init__(self, kind: str, seed: int, folder: Path):
        self._command = [sys.executable, "-m", "reliability.worker", "--kind", kind, "--seed", str(seed)]
        self._command += ["--folder", str(folder.resolve())]
        self._process: subprocess.Popen[str] | None = None

    def run(self, number: int) -> dict[str, Any]:
        """What became of one input; see `reliability.worker.run_case`, and outcomes "hang" and "died"."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        began = _processor_seconds(process.pid)
        answer = self._answer(LONGEST_WAIT, LONGEST)
        if answer is not None:
            return answer
        code = process.poll()
        seconds = LONGEST if code is not None else _processor_seconds(process.pid) - began
        self.stop()
        problem = f"no answer after {seconds:.1f} s" if code is None else f"the process ended with code {code}"
        outcome = "hang" if code is None else "died"
        return dict(outcome=outcome, done="", problem=problem, escapes=[], seconds=seconds, memory=0)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            search = os.pathsep.join(filter(None, [str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
            )
            if self._answer(_LONGEST_START, _LONGEST_START) is None:
                self.stop()
                raise RuntimeError(f"a worker doesn't start: {' '.join(self._command)}")
        return self._process

    def _answer(self, longest_wait: float, longest: float) -> dict[str, Any] | None:
        """The next line of JSON; None where it doesn't come in time, or the process is gone."""
        assert self._process is not None
        assert self._process.stdout is not None
        began, used = time.perf_counter(), _processor_seconds(self._process.pid)
        while not select.select([self._process.stdout], [], [], _POLL)[0]:
            waited = time.perf_counter() - began
            if waited > longest_wait or _processor_seconds(self._process.pid) - used > longest:
                return None
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        return None


def _processor_seconds(process: int) -> float:
    """Processor time that a process has taken so far, in all of its threads."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_all(kind: str, seed: int, numbers: Sequence[int], folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """What became of each number."""
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(kind, seed, folder)
    try:
        for number in numbers:
            yield number, worker.run(number)
    finally:
        worker.stop()
