"""Mutated files of every kind, put through the product as a user would.

python -m reliability.fuzz [--seed 0] [--count 1000] [--kind video config masks checkpoint start shard] [--keep DIR]

Prints a table; exits with 1 if anything crashed, hung or wrote where it should not. What did is kept, with the command
that repeats it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reliability.pool import run_all
from reliability.worker import KINDS

_HEADINGS = ("kind", "mutations", "refused", "accepted", "in part", "crashes", "hangs", "slowest", "memory", "outside")
_CRASHES = ("crash", "died")


@dataclass
class Tally:
    """Counts of one kind. memory: most bytes that an input cost beyond what was held before it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    escapes: int = 0
    seconds: float = 0.0
    memory: int = 0

    def add(self, result: dict[str, Any]) -> bool:
        """Count one input; returns whether it broke a promise."""
        outcome = result["outcome"]
        self.outcomes[outcome] += 1
        self.escapes += bool(result["escapes"])
        self.seconds = max(self.seconds, result["seconds"])
        self.memory = max(self.memory, result["memory"])
        return outcome in (*_CRASHES, "hang") or bool(result["escapes"])

    def row(self, kind: str) -> tuple[str, ...]:
        """As `_HEADINGS` name them."""
        counts = self.outcomes
        return (
            kind,
            str(counts.total()),
            str(counts["refused"]),
            str(counts["accepted"]),
            str(counts["in part"]),
            str(sum(counts[name] for name in _CRASHES)),
            str(counts["hang"]),
            f"{self.seconds:.1f} s",
            f"{self.memory / 2**20:.0f} MB",
            str(self.escapes),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all kinds; returns the exit code."""
    parser = argparse.ArgumentParser(description="mutated files, put through slotkeeper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="mutations of each kind (default: %(default)s)")
    parser.add_argument("--kind", nargs="+", default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--only", type=int, help="one number, to repeat what went wrong")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="for findings (default: %(default)s)")
    options = parser.parse_args(arguments)
    numbers = range(options.count) if options.only is None else [options.only]
    rows, is_clean = [_HEADINGS], True
    for kind in options.kind:
        tally = Tally()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            for number, result in run_all(kind, options.seed, numbers, Path(folder)):
                if tally.add(result):
                    is_clean = False
                    _keep(options.keep / f"{kind}-{options.seed}-{number}", Path(folder) / "case", result)
                    print(_told(kind, options.seed, number, result), file=sys.stderr, flush=True)
        rows.append(tally.row(kind))
        print(f"{kind}: done", file=sys.stderr, flush=True)
    print("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return 0 if is_clean else 1


def _keep(place: Path, case: Path, result: dict[str, Any]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(case, place, symlinks=True)
    told = "\n".join([result["done"], result["problem"], *result["escapes"]])
    (place / "finding.txt").write_text(f"{told}\n", encoding="utf-8")


def _told(kind: str, seed: int, number: int, result: dict[str, Any]) -> str:
    last = result["problem"].strip().splitlines()[-1:] or [str(result["escapes"])]
    repeat = f"python -m reliability.fuzz --kind {kind} --seed {seed} --only {number}"
    return f"{kind} {number}: {result['outcome']}: {last[0][:300]} ({result['done'][:100]}); repeat: {repeat}"


if __name__ == "__main__":
    sys.exit(main())
