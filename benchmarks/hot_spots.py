"""Where the time of one of the workloads goes, operation by operation, beside what the machine could do at best.

python -m benchmarks.hot_spots [savi_small] [--rows 12] [--batch 1] [--threads 2]

Ours on the CPU. Small operations look slower than they are, since each one is timed by itself.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.__main__ import LINES, describe
from benchmarks.machine import measure_machine
from benchmarks.roofline import operations_of
from benchmarks.workloads import Settings
from slotkeeper.freed_memory import keep_freed_memory

_NUM_WARM = 8


def main() -> None:
    """Print the operations that take longest, and all others as one row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_spots", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[line.name for line in LINES], default="savi_small")
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parsed = parser.parse_args()
    keep_freed_memory()
    num_threads = parsed.threads or torch.get_num_threads()
    torch.set_num_threads(num_threads)
    settings = Settings(device=torch.device("cpu"), batch=parsed.batch, num_threads=num_threads)
    machine = measure_machine(settings.device, (torch.float32, torch.bfloat16))
    print(describe(machine, settings))
    workload = next(line.ours for line in LINES if line.name == parsed.name)(settings)
    for _ in range(_NUM_WARM):
        workload.run()
    operations = sorted(operations_of(workload.run, machine).items(), key=lambda item: -item[1].seconds)
    print("| operation | inputs | calls | ms | GFLOP/s | GB/s | of the limit |\n|---|---|---|---|---|---|---|")
    for (name, shapes), work in operations[: parsed.rows]:
        shown = ", ".join("x".join(map(str, shape)) for shape in shapes[:3] if shape)
        print(
            f"| {name} | {shown} | {work.calls} | {1000 * work.seconds:.1f} | {work.flops / work.seconds / 1e9:.0f} | "
            f"{work.num_bytes / work.seconds / 1e9:.0f} | {work.limit_seconds / work.seconds:.0%} |"
        )
    rest = [work for _, work in operations[parsed.rows :]]
    calls, seconds = sum(work.calls for work in rest), sum(work.seconds for work in rest)
    print(f"| all others | | {calls} | {1000 * seconds:.1f} | | | |")


if __name__ == "__main__":
    main()
