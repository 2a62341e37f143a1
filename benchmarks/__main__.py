"""One table: how fast slotkeeper is, beside others and beside the machine's limit. Nothing else should run meanwhile.

python -m benchmarks [--only NAME ...] [--rounds 5] [--batch 4] [--device cpu] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import workloads
from benchmarks.machine import Machine, measure_machine, median
from benchmarks.sides import Side
from benchmarks.workloads import Settings, Workload
from slotkeeper.hardware import choose_device

Maker = Callable[[Settings], Workload]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A workload, and the one that it is compared with, or None. is_own: so that is ours, too."""

    name: str
    ours: Maker
    theirs: Maker | None = None
    is_own: bool = False


LINES = (
    Line(name="savi_small", ours=workloads.savi_training, theirs=workloads.yardstick_training),
    Line(name="demo", ours=workloads.demo_training, theirs=workloads.yardstick_training),
    Line(name="compiled", ours=workloads.compiled_demo_training, theirs=workloads.demo_training, is_own=True),
    Line(name="vit_sized", ours=workloads.vit_training),
    Line(name="streaming", ours=workloads.demo_streaming, theirs=workloads.yardstick_streaming),
    Line(name="slot_attention", ours=workloads.our_attention, theirs=workloads.their_attention),
    Line(name="rendering", ours=workloads.rendering),
    Line(name="batched_rendering", ours=workloads.batched_rendering, theirs=workloads.numpy_rendering),
    Line(name="endless", ours=workloads.endless_training, theirs=workloads.yardstick_training),
)
TITLES = {
    "savi_small": "training step, small SAVi, against the plain yardstick",
    "demo": "training step, demo model, against the plain yardstick",
    "compiled": "training step, demo model with training.compile, against itself without",
    "vit_sized": "training step, DINOSAUR's slots on 1,024 tokens of 384, backbone done before",
    "streaming": "streaming step, demo model, against the plain yardstick",
    "slot_attention": "slot attention, forward + backward, against slot-attention",
    "rendering": "rendering built-in scenes, one core",
    "batched_rendering": "rendering in torch without physics, against NumPy on one core",
    "endless": "training step, small SAVi on endless scenes, against the plain yardstick",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over rounds; None where nothing is compared or waited for. Memory above the idle process, in MB."""

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
    with ExitStack() as stack:
        ours = stack.enter_context(Side(line.ours, settings, is_ours=True))
        theirs = stack.enter_context(Side(line.theirs, settings, is_ours=line.is_own)) if line.theirs else None
        seconds: list[float] = []
        other_seconds: list[float] = []
        waited: list[float] = []
        for _ in range(rounds):
            seconds.append(ours.seconds_per_frame())
            share = ours.waiting_share()
            if share is not None:
                waited.append(share)
            if theirs is not None:
                other_seconds.append(theirs.seconds_per_frame())
        ratios = [other / our for our, other in zip(seconds, other_seconds, strict=bool(theirs))]
        peak, other_peak = ours.peak_megabytes(), theirs.peak_megabytes() if theirs else None
        work, frames = ours.work(machine), ours.ready.frames
        usual = median(seconds) * frames
        return Result(
            name=line.name,
            frames_per_second=1 / median(seconds),
            other_frames_per_second=1 / median(other_seconds) if other_seconds else None,
            ratio=median(ratios) if ratios else None,
            lowest_ratio=min(ratios, default=None),
            highest_ratio=max(ratios, default=None),
            peak_megabytes=peak,
            other_peak_megabytes=other_peak,
            gigaflops_per_frame=work.flops / frames / 1e9,
            operations=work.num_operations,
            limit_share=work.limit_seconds / usual,
            matrix_share=work.flops / machine.rate(ours.ready.dtype) / usual,
            data_wait_share=median(waited) if waited else None,
        )


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
    num_threads = parsed.threads or torch.get_num_threads()
    torch.set_num_threads(num_threads)
    settings = Settings(device=choose_device(parsed.device), batch=parsed.batch, num_threads=num_threads)
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
