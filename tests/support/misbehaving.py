"""Kinds of input for the fuzzing's own test, at which everything goes wrong; light, since each starts a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


class Misbehaving:
    """Crashes, writes elsewhere, starts a program, behaves, takes all memory and dies, one after the other."""

    def __init__(self, folder: Path):
        self._number = 0

    def write(self, rng: np.random.Generator, case: Path) -> str:
        (case / "input").write_bytes(rng.bytes(8))
        return "nothing"

    def feed(self, case: Path, out: Path) -> str:
        self._number += 1
        match self._number:
            case 1:
                raise ZeroDivisionError
            case 2:
                Path("escaped").write_text("here")
            case 3:
                subprocess.run([sys.executable, "-S", "-c", "pass"], check=True)
            case 4:
                (out / "result").write_text("allowed")
            case 5:
                np.ones(10**9)
            case 6:
                os.abort()
        return "accepted"


class Sleeping(Misbehaving):
    """Hangs."""

    def feed(self, case: Path, out: Path) -> str:
        time.sleep(60)
        return "accepted"
