"""Memory of one training step by the clip's length, with and without training.checkpoint_activations.

python benchmarks/memory.py CONFIG [--frames 2 4 8 16] [--batch-size 4] [--device cuda] [--precision bf16]

What a step, forwards and backwards, needs beside the weights, their gradients and the clip: on a CPU (Linux) the peak
of the process's resident memory over what it was before, on a GPU that of PyTorch's allocator. Each number is from a
process of its own, with one thread; seconds are those of the same step. Clips are random numbers, so no videos are
needed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import time
from pathlib import Path

import torch

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import load_config
from slotkeeper.training.step import TrainingStep

_PROCESS = Path("/proc/self")


def measure(parsed: argparse.Namespace, num_frames: int, recompute: bool, answers: multiprocessing.Queue) -> None:
    """Megabytes and seconds of one step."""
    torch.set_num_threads(1)
    config = load_config(parsed.config, [f"training.clip_length={num_frames}"])
    device = torch.device(parsed.device)
    model = build_model(config).to(memory_format=torch.channels_last)
    step = TrainingStep(model, build_losses(config, model), recompute=recompute).train().to(device)

    def run(batch_size: int, length: int) -> float:
        frames = torch.rand(batch_size, length, 3, *config.data.size, device=device)
        times = torch.zeros(batch_size, length, device=device)
        resting, started = _start_peak(device), time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=parsed.precision == "bf16"):
            losses = step({"frames": frames, "times": times}, torch.Generator().manual_seed(0), 0.5)
        losses["loss"].backward()
        peak = _peak(device)
        answers.put(((peak - resting) / 1e6, time.perf_counter() - started))

    run(1, 2)  # libraries take memory of their own the first time, and afterwards there are gradients
    run(parsed.batch_size, num_frames)


def _start_peak(device: torch.device) -> int:
    """Bytes in use; what is used at most counts from now on."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    ctypes.CDLL(None).malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--frames", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parsed = parser.parse_args()
    print(f"{'frames':>6}  {'MB':>8} {'MB/frame':>9} {'s':>6}   checkpointed: {'MB':>6} {'MB/frame':>9} {'s':>6}")
    for num_frames in parsed.frames:
        shown = []
        for recompute in (False, True):
            answers: multiprocessing.Queue = multiprocessing.get_context("spawn").Queue()
            process = multiprocessing.get_context("spawn").Process(
                target=measure, args=(parsed, num_frames, recompute, answers)
            )
            process.start()
            answers.get()
            megabytes, seconds = answers.get()
            process.join()
            shown += [megabytes, megabytes / num_frames / parsed.batch_size, seconds]
        print("{:>6}  {:>8.0f} {:>9.2f} {:>6.2f}   {:>20.0f} {:>9.2f} {:>6.2f}".format(num_frames, *shown), flush=True)


if __name__ == "__main__":
    main()
