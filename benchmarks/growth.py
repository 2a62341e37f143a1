"""How cost grows with frames, slots, resolution and the length of a video. Nothing else should run meanwhile.

python -m benchmarks.growth [--threads 2] [--rounds 3] [--json FILE]

Each line is a training step of the demo model with one thing changed, or a video that is tracked with it; each in a
process of its own, one after the other, so many rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks import workloads
from benchmarks.machine import median
from benchmarks.sides import Side
from benchmarks.workloads import ROOT, Settings, Workload
from slotkeeper.build import build_model
from slotkeeper.config import load_config
from slotkeeper.data.writer import VideoWriter
from slotkeeper.hardware import choose_device
from slotkeeper.track_files import track_videos
from slotkeeper.tracking import Tracker

_CLIP_LENGTHS, _SLOTS, _SIDES, _VIDEO_LENGTHS = (2, 4, 8, 16), (3, 6, 12, 24), (32, 64, 128), (100, 300, 1000)
_SQUARE = 40
"""Frames of each step where clips grow longer: 20 clips of 2 or 5 of 8."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement. milliseconds: for each frame. peak_megabytes: above the idle process."""

    what: str
    value: int
    milliseconds: float
    peak_megabytes: float


def step_with(changes: tuple[str, ...], settings: Settings) -> Workload:
    """A training step of the demo model with other settings."""
    base = ("training.clip_length=8", "training.batch_size=10", "data.scenes.num_train=64", "data.scenes.num_frames=16")
    return workloads.training(load_config(ROOT / "configs/demo.yaml", [*base, *changes]), settings)


def tracking_of(num_frames: int, settings: Settings) -> Workload:
    """A whole video of this length, with all result files; the model is not trained, which costs the same."""
    config = load_config(ROOT / "configs/demo.yaml")
    tracker = Tracker(build_model(config).eval(), size=config.data.size, device=settings.device)
    folder = tempfile.TemporaryDirectory()
    video = Path(folder.name) / "video.mp4"
    shown = (workloads.rendered_clips(1, 24)[0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    with VideoWriter(video, fps=Fraction(24), width=shown.shape[2], height=shown.shape[1]) as writer:
        for index, frame in enumerate(islice(cycle([*shown, *shown[::-1]]), num_frames)):
            writer.write(frame, time=index / 24)

    def track() -> None:
        track_videos(video, tracker, Path(folder.name) / "tracks", show_progress=False)

    return Workload(frames=num_frames, dtype=torch.float32, run=track)


def points() -> Iterator[tuple[str, int, Callable[[Settings], Workload]]]:
    """What is changed, to which value, and what is then timed."""
    for length in _CLIP_LENGTHS:
        changes = (f"training.clip_length={length}", f"training.batch_size={_SQUARE // length}")
        yield "frames of a clip, 40 a step", length, partial(step_with, changes)
    for length in _CLIP_LENGTHS:
        yield "frames of a clip, 10 clips", length, partial(step_with, (f"training.clip_length={length}",))
    for slots in _SLOTS:
        yield "slots", slots, partial(step_with, (f"model.num_slots={slots}",))
    for side in _SIDES:
        changes = (f"data.size=[{side}, {side}]", f"data.scenes.size={side}")
        yield "pixels of a side", side, partial(step_with, changes)
    for length in _VIDEO_LENGTHS:
        yield "frames of a tracked video", length, partial(tracking_of, length)


def measure(what: str, value: int, maker: Callable[[Settings], Workload], settings: Settings, rounds: int) -> Point:
    """Medians over the rounds."""
    with Side(maker, settings, is_ours=True) as side:
        seconds = median([side.seconds_per_frame() for _ in range(rounds)])
        return Point(what=what, value=value, milliseconds=1000 * seconds, peak_megabytes=side.peak_megabytes())


def main() -> None:
    """Measure and print line by line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="on the CPU (default: all cores)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parsed = parser.parse_args()
    num_threads = parsed.threads or torch.get_num_threads()
    settings = Settings(device=choose_device(parsed.device), batch=5, num_threads=num_threads)
    print("| what grows | to | ms per frame | peak MB |\n|---|---|---|---|", flush=True)
    measured = []
    for what, value, maker in points():
        point = measure(what, value, maker, settings, parsed.rounds)
        print(f"| {what} | {value} | {point.milliseconds:.2f} | {point.peak_megabytes:.0f} |", flush=True)
        measured.append(point)
    if parsed.json:
        facts = {"command": " ".join(sys.argv), "points": [asdict(point) for point in measured]}
        parsed.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
