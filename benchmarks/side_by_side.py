"""Training steps per second of so many processes that share one device, each with one thread; data is not waited for.

python benchmarks/side_by_side.py CONFIG [--device cuda] [--processes 1 16] [--precision bf16] [--seconds 8]

The config's videos must be there (`slotkeeper train CONFIG --set training.steps=1` renders built-in ones). Clips have
8 frames, batches 10 clips.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

from slotkeeper.config import load_config
from slotkeeper.training import Trainer, find_run_videos
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.watching import Watcher

_NUM_VIDEOS, _WARM_UP = 100, 8


def train(
    config_file: str, settings: list[str], seconds: float, barrier: Barrier, rates: multiprocessing.Queue
) -> None:
    """Steps per second of one process, measured while all others run too."""
    torch.set_num_threads(1)
    config = load_config(config_file, settings)
    videos = find_run_videos(config.data, show_progress=False).train[:_NUM_VIDEOS]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        trainer = Trainer(config, run, CurriculumSource(config, videos), Watcher(config, run, []))
        for _ in range(_WARM_UP):
            trainer.train_step()
        barrier.wait()
        started, num_steps = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            trainer.train_step()
            num_steps += 1
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        rates.put(num_steps / (time.perf_counter() - started))
        trainer.source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seconds", type=float, default=8.0)
    parsed = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    settings = [f"training.device={parsed.device}", f"training.precision={parsed.precision}"]
    settings += ["training.clip_length=8", "training.batch_size=10"]
    context = multiprocessing.get_context("spawn")
    for number in parsed.processes:
        barrier, rates = context.Barrier(number), context.Queue()
        arguments = (parsed.config, settings, parsed.seconds, barrier, rates)
        processes = [context.Process(target=train, args=arguments) for _ in range(number)]
        for process in processes:
            process.start()
        total = sum(rates.get() for _ in processes)
        for process in processes:
            process.join()
        print(f"{number} processes: {total:.1f} steps per second in all", flush=True)


if __name__ == "__main__":
    main()
