"""A process that feeds mutated inputs to the product, one for each number it reads; started by `reliability.fuzz`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from reliability.guards import EscapeWatch, forget_peak_memory, limit_memory, list_files, peak_memory

KINDS = {
    "video": "reliability.kinds:Videos",
    "config": "reliability.run_files:Configs",
    "masks": "reliability.kinds:Masks",
    "checkpoint": "reliability.run_files:Checkpoints",
    "start": "reliability.kinds:Starts",
    "shard": "reliability.shard_files:Shards",
}
_EXTRA_BYTES = 3 * 2**30
"""Memory that an input may cost beyond what the process holds before the first one."""


def main() -> None:
    """Answer each number on stdin with a line of JSON on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    answers = _private_stdout(arguments.folder / "worker.log")
    _move_in(arguments.folder)
    kind = make_kind(arguments.kind, arguments.folder / "originals")
    watch = EscapeWatch()
    limit_memory(_EXTRA_BYTES)
    _say(answers, {"ready": True})
    for line in sys.stdin:
        _say(answers, run_case(kind, arguments.kind, arguments.seed, int(line), arguments.folder, watch))


def make_kind(name: str, folder: Path) -> Any:
    """One of `KINDS`, or "module:Class"."""
    module, _, attribute = KINDS.get(name, name).partition(":")
    return getattr(importlib.import_module(module), attribute)(folder)


def run_case(kind: Any, name: str, seed: int, number: int, folder: Path, watch: EscapeWatch | None) -> dict[str, Any]:
    """Write one mutated input below `folder`/case and feed it.

    Returns its `outcome` ("refused", "accepted", "in part" or "crash"), what was `done`, `escapes`, and its costs.
    """
    case, out = folder / "case", folder / "out"
    for place in (case, out):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    rng = np.random.default_rng([seed, number, *name.encode()])
    done = kind.write(rng, case)
    before = list_files(folder, without=out)
    forget_peak_memory()
    held, began, problem = peak_memory(), time.process_time(), ""
    seen: list[str] = []
    try:
        if watch is None:
            outcome = str(kind.feed(case, out))
        else:
            with watch.watching(out) as seen:
                outcome = str(kind.feed(case, out))
    except (Exception, SystemExit) as error:
        outcome, problem = "crash", "".join(traceback.format_exception(error))
    after = list_files(folder, without=out)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    changed = [path for path in changed if not path.endswith("worker.log")]
    return {
        "outcome": outcome,
        "done": done,
        "problem": problem,
        "escapes": [*seen, *changed],
        "seconds": time.process_time() - began,
        "memory": peak_memory() - held,
    }


def _private_stdout(log: Path) -> TextIO:
    """Keep stdout for answers; what the product and its libraries print goes to a file."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    return answers


def _move_in(folder: Path) -> None:
    """Home, temporary and working folders of its own, which are looked at after each input."""
    for name, variable in (("home", "HOME"), ("tmp", "TMPDIR"), ("work", None)):
        (folder / name).mkdir(exist_ok=True)
        if variable is not None:
            os.environ[variable] = str(folder / name)
    os.chdir(folder / "work")


def _say(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
