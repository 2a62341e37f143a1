"""One table: how fast slotkeeper is, beside others and beside the machine's limit. Nothing else should run meanwhile.

python -m benchmarks [--only NAME ...] [--rounds 5] [--batch 4] [--device cpu] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import workloads
from benchmarks.machine import Machine, measure_machine, median, seconds_of
from benchmarks.memory import peak_megabytes
from benchmarks.roofline import roofline_of
from benchmarks.workloads import Settings, Workload
from slotkeeper.hardware import choose_device

Maker = Callable[[Settings], Workload]
_LEAST_SECONDS = 0.3
"""Of one measurement; short workloads are called several times for it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A workload, and the one that it is compared with, or None."""

    name: str
    ours: Maker
    theirs: Maker | None = None


LINES = (
    Line(name="savi_small", ours=workloads.savi_training, theirs=workloads.yardstick_training),
    Line(name="demo", ours=workloads.demo_training, theirs=workloads.yardstick_training),
    Line(name="streaming", ours=workloads.demo_streaming, theirs=workloads.yardstick_streaming),
    Line(name="slot_attention", ours=workloads.our_attention, theirs=workloads.their_attention),
    Line(name="rendering", ours=workloads.rendering),
)
TITLES = {
    "savi_small": "training step, small SAVi, against the plain yardstick",
    "demo": "training step, demo model, against the plain yardstick",
    "streaming": "streaming step, demo model, against the plain yardstick",
    "slot_attention": "slot attention, forward + backward, against slot-attention",
    "rendering": "rendering built-in scenes, one core",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over rounds; a share is None where nothing was counted. Memory is the peak above the idle process, in MB."""

    name: str
    frames_per_second: float
    other_frames_per_second: float | None
    ratio: float | None
    lowest_ratio: float | None
    highest_ratio: float | None
    peak_megabytes: float
    other_peak_megabytes: float | None
    gigaflops_per_frame: float
    operations: int
    limit_share: float
    matrix_share: float
    data_wait_share: float | None


def measure(line: Line, settings: Settings, machine: Machine, rounds: int) -> Result:
    """Ours, theirs, ours, theirs ...; the ratio is taken within each round."""
    makers = [line.ours, *([line.theirs] if line.theirs else [])]
    made = [maker(settings) for maker in makers]
    calls = [_calls_for(workload, settings.device) for workload in made]
    seconds: list[list[float]] = [[] for _ in made]
    for _ in range(rounds):
        for place, workload in enumerate(made):
            if workload.waiting is not None:
                workload.waiting()  # begin counting anew
            passed = seconds_of(lambda: [workload.run() for _ in range(calls[place])], settings.device)
            seconds[place].append(passed / calls[place] / workload.frames)
    ours = made[0]
    waited = ours.waiting() if ours.waiting is not None else None
    ratios = [theirs / our for our, theirs in zip(seconds[0], seconds[1], strict=True)] if line.theirs else []
    limit = roofline_of(ours.run, machine)
    usual = median(seconds[0]) * ours.frames
    peaks = [peak_megabytes(maker, settings) for maker in makers]
    return Result(
        name=line.name,
        frames_per_second=1 / median(seconds[0]),
        other_frames_per_second=1 / median(seconds[1]) if line.theirs else None,
        ratio=median(ratios) if ratios else None,
        lowest_ratio=min(ratios, default=None),
        highest_ratio=max(ratios, default=None),
        peak_megabytes=peaks[0],
        other_peak_megabytes=peaks[1] if line.theirs else None,
        gigaflops_per_frame=limit.flops / ours.frames / 1e9,
        operations=limit.num_operations,
        limit_share=limit.seconds / usual,
        matrix_share=limit.flops / machine.rate(ours.dtype) / usual,
        data_wait_share=waited,
    )


def _calls_for(workload: Workload, device: torch.device) -> int:
    """How many calls make one measurement; the first ones also warm up."""
    workload.run()
    once = min(seconds_of(workload.run, device) for _ in range(2))
    return max(1, round(_LEAST_SECONDS / once))


def describe(machine: Machine, settings: Settings) -> str:
    """The machine's limits in one line."""
    rates = ", ".join(f"{str(dtype)[6:]} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in machine.matrix_rates.items())
    return (
        f"{machine.name}, {machine.num_threads} threads, torch {torch.__version__}: {rates}, "
        f"{machine.bandwidth / 1e9:.0f} GB/s; training in {settings.precision}, batches of {settings.batch} clips"
    )


def row(result: Result) -> str:
    """One line of the table."""
    cells = [
        TITLES[result.name],
        f"{result.frames_per_second:.1f}",
        _shown(result.other_frames_per_second, "{:.1f}"),
        "-" if result.ratio is None else f"{result.ratio:.1f} ({result.lowest_ratio:.1f}-{result.highest_ratio:.1f})",
        f"{result.peak_megabytes:.0f}",
        _shown(result.other_peak_megabytes, "{:.0f}"),
        f"{result.gigaflops_per_frame:.2f}",
        f"{result.limit_share:.0%}",
        f"{result.matrix_share:.0%}",
        _shown(result.data_wait_share, "{:.1%}"),
    ]
    return f"| {' | '.join(cells)} |"


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def main() -> None:
    """Measure and print; the table grows line by line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(TITLES), default=sorted(TITLES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4, help="clips of 6 frames in a step of the small SAVi")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="on the CPU (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parsed = parser.parse_args()
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    settings = Settings(device=choose_device(parsed.device), batch=parsed.batch)
    machine = measure_machine(settings.device, (torch.float32, torch.bfloat16))
    print(describe(machine, settings), flush=True)
    heads = (
        "workload",
        "frames/s",
        "theirs",
        "ratio (range)",
        "MB",
        "theirs",
        "GFLOP/frame",
        "of the limit",
        "matrix",
        "wait",
    )
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    results = []
    for line in LINES:
        if line.name in parsed.only:
            results.append(measure(line, settings, machine, parsed.rounds))
            print(row(results[-1]), flush=True)
    if parsed.json:
        facts = {
            "machine": describe(machine, settings),
            "command": " ".join(sys.argv),
            "results": [asdict(r) for r in results],
        }
        parsed.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
