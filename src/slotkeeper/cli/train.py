"""`slotkeeper train` and `slotkeeper resume`, by one process or by several."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slotkeeper.cli.outcomes import DONE, USER_ERROR, report_skipped
from slotkeeper.errors import SlotkeeperError, counted
from slotkeeper.launched import find_place

if TYPE_CHECKING:
    from slotkeeper.training import FinishedRun, Processes

_HEADLINES = ("video_fg_ari", "video_miou", "slot_permanence")


def run_train(arguments: argparse.Namespace) -> int:
    """Begin a training, and say where its run lies; returns the exit code."""
    quieten_libraries()
    from slotkeeper.config import load_config
    from slotkeeper.training import join_processes, train

    with join_processes() as processes, _one_voice(processes):
        config = load_config(arguments.config, arguments.set)
        run_folder = arguments.out or Path("runs") / arguments.config.stem
        finished = train(config, run_folder, show_progress=not arguments.quiet, processes=processes)
        return _finish_training(finished) if processes.is_first else DONE


def run_resume(arguments: argparse.Namespace) -> int:
    """Go on with a training, likewise; returns the exit code."""
    quieten_libraries()
    from slotkeeper.training import join_processes, resume

    with join_processes() as processes, _one_voice(processes):
        finished = resume(arguments.run, show_progress=not arguments.quiet, processes=processes)
        return _finish_training(finished) if processes.is_first else DONE


def quieten_libraries() -> None:
    """Of several processes each would warn of what is as it should be; PyTorch's core reads this as it is imported."""
    if find_place(os.environ).world_size > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


@contextmanager
def _one_voice(processes: Processes) -> Iterator[None]:
    """Of several processes, let the first with an error tell it; the others, which have it too or lost that one, leave.

    A bug keeps its traceback.
    """
    try:
        yield
    except BaseException as error:
        is_heard = processes.claims()
        if is_heard or not isinstance(error, SlotkeeperError | KeyboardInterrupt):
            raise
        raise SystemExit(USER_ERROR) from error


def report_unusable(finished: FinishedRun) -> int:
    """Name a run's videos that could not be used, in training or held out; returns the exit code."""
    videos = [*finished.skipped.values(), *finished.skipped_held_out.values()]
    return report_skipped([(str(video.path), video.reason) for video in videos], finished.run)


def _finish_training(finished: FinishedRun) -> int:
    """Say where the run lies, and name the videos that were left out."""
    metrics = finished.metrics
    scores = [f"{name} {metrics[name]:.3f}" for name in _HEADLINES if metrics.get(name) is not None]
    steps = counted(metrics["steps"], "step")
    print(f"trained {steps} in {metrics['train_seconds']:.0f} s; the run is in {finished.run}")
    if scores:
        held_out = counted(metrics["counts"]["videos"], "held-out video")
        print(f"{', '.join(scores)} on {held_out}; more in metrics.json")
    if finished.videos.note:
        print(finished.videos.note)
    return report_unusable(finished)
