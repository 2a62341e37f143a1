"""What the process of one cell does: train or go on, score, track one video, write the result."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slotkeeper.build import load_model
from slotkeeper.checkpoint import package_versions
from slotkeeper.comparison.cells import FORMAT_VERSION, read_task, task_config
from slotkeeper.comparison.speed import measure_steps
from slotkeeper.comparison.sums import sums_as_json
from slotkeeper.config import Config
from slotkeeper.data import Start, VideoItem, find_videos, load_segments, save_segments
from slotkeeper.errors import DamagedModelError, DivergenceError, OutputError, TrainingError
from slotkeeper.evaluation import Evaluation, evaluate
from slotkeeper.files import write_json
from slotkeeper.freed_memory import keep_freed_memory
from slotkeeper.hardware import choose_device
from slotkeeper.model import SlotModel
from slotkeeper.tracking import Tracker
from slotkeeper.training import FinishedRun, Processes, resume, train

DONE, CRASHED, STOPPED, UNWRITABLE = 0, 1, 4, 5
"""Exit codes: there is a result; one that says why there are no scores; go on later; there is no room for a result."""
MAX_TRACKED_FRAMES = 240
_LOOK_SECONDS = 0.5


def work(folder: Path) -> int:
    """Do what the folder's task says; whatever goes wrong with the cell becomes its result. Returns an exit code.

    A full disk is not the cell's fault, and leaves no result.
    """
    keep_freed_memory()
    try:
        return _work(folder)
    except OutputError as error:
        with suppress(OSError):  # the log may lie on the same disk
            print(error, flush=True)
        return UNWRITABLE


def _work(folder: Path) -> int:
    with _alone(folder):
        task = read_task(folder)
        if "result" not in task:
            return _measured(task, folder)
        started = time.perf_counter()
        try:
            result = _trained(task, folder)
        except (DivergenceError, DamagedModelError) as error:
            result = {"status": "diverged", "reason": str(error)}
            result |= {"steps": error.step} if isinstance(error, DivergenceError) else {}
        except TrainingError as error:
            print(error, flush=True)
            return STOPPED
        except OutputError:
            raise
        except Exception as error:
            traceback.print_exc()
            result = {"status": "crashed", "reason": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        write_json(folder / task["result"], _described(task) | result | _cost(started))
        return CRASHED if result["status"] == "crashed" else DONE


def _measured(task: dict[str, Any], folder: Path) -> int:
    """The budget is in minutes: find out how many steps they are. What goes wrong here goes wrong again in the cell."""
    try:
        write_json(folder / "speed.json", measure_steps(task_config(task), task["minutes"], folder))
    except OutputError:
        raise
    except Exception:
        traceback.print_exc()
        return CRASHED
    return DONE


def crash_result(task: dict[str, Any], reason: str) -> dict[str, Any]:
    """The result of a cell whose process could not write one itself."""
    return _described(task) | {"status": "crashed", "reason": reason}


def _trained(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A cell trains in this process alone, whoever started the comparison."""
    run = folder / "run"
    if (run / "config.yaml").exists():
        finished = resume(run, show_progress=False, processes=Processes())
    else:
        shutil.rmtree(run, ignore_errors=True)  # a start that was interrupted before it wrote its config
        finished = train(task_config(task), run, show_progress=False, processes=Processes())
    device = choose_device(finished.config.training.device)
    loaded = load_model(run)
    sets = {entry["name"]: _scored(finished, entry, device) for entry in task["sets"]}
    shown = next(item for item in _items(finished, task["sets"][0]) if item.video_id == task["video"])
    if not loaded.model.initializer.needs_start or shown.masks is not None:
        tracker = Tracker(loaded.model, size=loaded.config.data.size, device=device)
        tracked = islice(tracker.track(shown.video, start=_start(loaded.model, shown)), MAX_TRACKED_FRAMES)
        save_segments(folder / task["tracked"], np.stack([frame.segments for frame in tracked]))
    training = finished.config.training
    return {
        "status": "finished",
        "reason": "",
        "steps": finished.metrics["steps"],
        "train_seconds": finished.metrics["train_seconds"],
        "frames_per_second_training": finished.metrics["frames_per_second_training"],
        "num_parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "precision": training.precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "skipped": sorted({*finished.skipped, *finished.skipped_held_out}),
        "sets": {name: _as_json(evaluation) for name, evaluation in sets.items()},
    }


def _items(finished: FinishedRun, entry: dict[str, Any]) -> Sequence[VideoItem]:
    """The videos of an evaluation set."""
    return finished.videos.val if entry["root"] is None else find_videos(entry["root"])


def _start(model: SlotModel, shown: VideoItem) -> Start | None:
    """For models that can't begin without: the true things of the shown video's first frame, the largest that fit."""
    if not model.initializer.needs_start:
        return None
    assert shown.masks is not None
    first = load_segments(shown.masks)[0]
    labels, areas = np.unique(first[first > 0], return_counts=True)
    kept = labels[np.argsort(-areas, kind="stable")][: model.num_slots - model.initializer.num_background]
    return Start(masks=np.where(np.isin(first, kept), first, 0))


def _scored(finished: FinishedRun, entry: dict[str, Any], device: torch.device) -> Evaluation:
    """The run's own evaluation where it is the one asked for."""
    config: Config = finished.config
    is_own = entry["root"] is None and entry["num_frames"] == config.evaluation.num_frames
    if is_own and finished.evaluation is not None:
        return finished.evaluation
    return evaluate(
        load_model(finished.run).model,
        _items(finished, entry),
        size=config.data.size,
        num_frames=entry["num_frames"],
        device=device,
        seeds=(config.seed,),
    )


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    videos = {"names": [video.name for video in evaluation.videos], "sums": sums_as_json(evaluation.videos)}
    return evaluation.as_json() | {"videos": videos}


def _described(task: dict[str, Any]) -> dict[str, Any]:
    config = task_config(task)
    return {
        "format": FORMAT_VERSION,
        "variant": task["variant"],
        "seed": task["seed"],
        "steps_planned": config.training.steps,
        "threads": torch.get_num_threads(),
        "packages": package_versions(),
    }


def _cost(started: float) -> dict[str, Any]:
    """Of this process; a cell that was interrupted has had others before."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"process_seconds": time.perf_counter() - started, "peak_memory_mb": round(peak)}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works in the folder: one whose parent was killed ends after its present step."""
    try:
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise OutputError(f"can't write into {folder}: {error.strerror or error}") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def stop_with_parent(parent: int) -> None:
    """Ask this process to stop, as a termination signal does, as soon as its parent is gone."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True).start()


def print_into(log: Path) -> None:
    """Send all that this process prints, its libraries' and its crashes' too, to the end of a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
