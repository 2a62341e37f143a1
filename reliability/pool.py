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
"""Seconds that one input may take."""
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
        began = time.perf_counter()
        answer = self._answer(LONGEST)
        if answer is not None:
            return answer
        seconds, code = time.perf_counter() - began, process.poll()
        self.stop()
        problem = f"no answer in {LONGEST:g} s" if code is None else f"the process ended with code {code}"
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
            if self._answer(_LONGEST_START) is None:
                self.stop()
                raise RuntimeError(f"a worker doesn't start: {' '.join(self._command)}")
        return self._process

    def _answer(self, timeout: float) -> dict[str, Any] | None:
        """The next line of JSON; None where it doesn't come in time, or the process is gone."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        if ready:
            self._process.wait()
        return None


def run_all(kind: str, seed: int, numbers: Sequence[int], folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """What became of each number. A hang counts only if it comes again: the machine may have been busy."""
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker(kind, seed, folder)
    try:
        for number in numbers:
            result = worker.run(number)
            if result["outcome"] == "hang":
                result = worker.run(number)
            yield number, result
    finally:
        worker.stop()
