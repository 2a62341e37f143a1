"""Kills trainings at random moments with SIGKILL, goes on with them, and compares with the training never killed.

python -m reliability.kills [--count 50] [--seed 0] [--steps 20] [--work runs/kills]

Each training renders its own videos or takes those of the first one, saves a checkpoint after every step, and ends
with scores. After the kill the command that a user would give goes on: `slotkeeper resume`, or `slotkeeper train`
again where the run had no config yet. One time in three that is killed too. Trainings are forks of one process that
has imported everything, as `slotkeeper compare` runs its cells; what is killed is the training's own process. Exit
code 1 where a weight, a line of the log or a score differs, or something half-written stays.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.cli import main as slotkeeper
from slotkeeper.config import write_yaml
from slotkeeper.training import train as _train  # noqa: F401  brings in what a fork should not import again

_OWN_VIDEOS_EVERY = 5
_RESUME_KILLED = 1 / 3
_TIMES = ("second", "data_wait_share")
_LOOK_SECONDS = 0.002


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training: where its config, its videos and its run lie."""

    folder: Path
    steps: int
    videos: Path | None = None

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def scenes(self) -> Path:
        return self.videos or self.folder / "scenes"

    def prepare(self) -> None:
        """Write the config into an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "run.yaml").write_text(write_yaml(small_config(self.scenes, self.steps)), encoding="utf-8")

    def command(self) -> list[str]:
        """What a user would type now."""
        if (self.run / "config.yaml").exists():
            return ["resume", str(self.run), "--quiet"]
        return ["train", str(self.folder / "run.yaml"), "--out", str(self.run), "--quiet"]

    def phase(self) -> str:
        """How far the run has come, by what lies there."""
        if not (self.run / "config.yaml").exists():
            return "before the config" if self.run.exists() else "starting, rendering"
        if any((self.run / "checkpoints").glob(".partial-*")):
            return "writing a checkpoint"
        checkpoints = list_checkpoints(self.run)
        if not checkpoints:
            return "before a checkpoint"
        is_trained = checkpoints[-1].name == f"step-{self.steps:08d}"
        return "scoring" if is_trained else "training"


def small_config(scenes: Path, steps: int) -> dict[str, Any]:
    """A training of seconds with everything in it: curriculum, pictures, scores on the way and at the end."""
    return {
        "data": {
            "scenes": {"family": "plain", "num_train": 6, "num_val": 2, "num_frames": 6, "size": 32},
            "path": str(scenes),
            "size": [32, 32],
        },
        "model": {
            "num_slots": 4,
            "slot_dim": 16,
            "encoder": {"name": "cnn", "width": 16, "feature_dim": 16, "num_blocks": 1, "pixel_dim": 4},
            "initializer": {"name": "first_frame"},
            "corrector": {"name": "slot_attention", "hidden_dim": 16},
            "predictor": {"name": "transformer", "hidden_dim": 16},
            "decoder": {"name": "layered", "hidden_dim": 16},
        },
        "losses": [{"name": "reconstruction"}, {"name": "future_prediction", "width": 4}],
        "training": {
            "steps": steps,
            "batch_size": 4,
            "clip_length": [[0, 2], [steps // 2, 3]],
            "warmup_steps": 2,
            "precision": "fp32",
            "device": "cpu",
            "log_every": 3,
            "sample_every": 7,
            "evaluate_every": 9,
            "evaluate_videos": 1,
            "checkpoint_minutes": 1e-9,
        },
    }


def start(case: Case) -> int:
    """A process that runs the case's next command; returns its number."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        log = os.open(case.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        code = slotkeeper(case.command())
    finally:
        os._exit(code)


def run_to_end(case: Case) -> float:
    """Run the next command to its end; returns its seconds."""
    started = time.monotonic()
    _, status = os.waitpid(start(case), 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"'slotkeeper {' '.join(case.command())}' failed; see {case.folder / 'log.txt'}")
    return time.monotonic() - started


def kill_after(case: Case, seconds: float) -> bool:
    """Run the next command and kill it; false where it came to its end before."""
    process = start(case)
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(_LOOK_SECONDS)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def differences(case: Case, whole: Case) -> list[str]:
    """Sentences on how a finished run differs from the one that was never killed."""
    found = []
    mine, other = list_checkpoints(case.run), list_checkpoints(whole.run)
    if [folder.name for folder in mine] != [folder.name for folder in other]:
        found.append(f"checkpoints {[folder.name for folder in mine]}")
    for name in ("model.safetensors", "training.safetensors"):
        if (mine[-1] / name).read_bytes() != (other[-1] / name).read_bytes():
            found.append(f"{name} differs")
    for name in ("metrics.jsonl", "metrics.json"):
        changed = [
            key
            for mine, other in zip(_timeless(case.run / name), _timeless(whole.run / name), strict=False)
            for key in sorted(mine.keys() | other.keys())
            if mine.get(key) != other.get(key)
        ]
        if changed or _timeless(case.run / name) != _timeless(whole.run / name):
            found.append(f"{name} differs: {', '.join(changed) or 'another number of lines'}")
    leftovers = [*case.folder.rglob(".partial-*"), *case.scenes.rglob(".partial-*")]
    return found + [f"{path} is left" for path in leftovers]


def _timeless(path: Path) -> list[dict[str, Any]]:
    """Lines of JSON, or one object, without what depends on the machine's speed."""
    text = path.read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]
    return [
        {name: value for name, value in entry.items() if not any(part in name for part in _TIMES)} for entry in entries
    ]


def kill_one(case: Case, seconds: float, chance: random.Random, phases: Counter[str]) -> int:
    """Kill a training at least once and bring it to its end; returns the number of resumes."""
    while True:
        case.prepare()
        if kill_after(case, chance.uniform(0, seconds)):
            break
    phases[case.phase()] += 1
    num_resumes = 1
    while chance.random() < _RESUME_KILLED and kill_after(case, chance.uniform(0, seconds)):
        phases[case.phase()] += 1
        num_resumes += 1
    run_to_end(case)
    return num_resumes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("runs/kills"))
    options = parser.parse_args()
    chance, phases = random.Random(options.seed), Counter[str]()
    whole = Case(folder=options.work / "whole", steps=options.steps)
    whole.prepare()
    seconds_with_videos = run_to_end(whole)
    again = Case(folder=options.work / "again", steps=options.steps, videos=whole.scenes)
    again.prepare()
    seconds = run_to_end(again)
    problems = [f"the same training twice: {problem}" for problem in differences(again, whole)]
    num_resumes = num_different = 0
    for number in range(options.count):
        has_own = number % _OWN_VIDEOS_EVERY == 0
        case = Case(folder=options.work / "killed", steps=options.steps, videos=None if has_own else whole.scenes)
        num_resumes += kill_one(case, seconds_with_videos if has_own else seconds, chance, phases)
        found = differences(case, whole)
        num_different += bool(found)
        problems += [f"training {number}: {problem}" for problem in found]
        print(f"{number + 1} of {options.count}: {'different' if found else 'equal'}", flush=True)
    print(f"\n{'killed while':<24} {'kills':>5}")
    for phase, count in phases.most_common():
        print(f"{phase:<24} {count:>5}")
    print(f"\n{options.count} trainings, {phases.total()} kills, {num_resumes} resumes that were to go on")
    print(f"{options.count - num_different} end equal to the one never killed, {num_different} different")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
