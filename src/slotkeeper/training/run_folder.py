"""A run's folder: what is needed to repeat it, and what a resumed run must tidy up.

config.yaml      every setting, defaults written out
versions.json    packages, Python, processor, precision
data.json        fingerprints of the videos
metrics.jsonl    one line per logged step; TensorBoard event files lie beside it
samples/         pictures of the slots during training
checkpoints/     the two newest, each a model folder with the training's state
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from slotkeeper.checkpoint import package_versions
from slotkeeper.config import Config, config_yaml
from slotkeeper.errors import CheckpointError, OutputError
from slotkeeper.files import LOCK_FILE, atomic_path, locked_folder, remove_leftovers, write_json

_FINGERPRINTS, _VERSIONS = "data.json", "versions.json"


def refuse_unusable(run: Path) -> None:
    """Refuse a folder that holds anything, or can't be made; nothing is made yet.

    What a training left that was killed before it had written its config is no reason.

    Raises:
        OutputError: the sentence says why.
    """
    place = next(folder for folder in (run, *run.absolute().parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise OutputError(f"can't use {run} as a run folder: {place} is not a folder that can be written")
    if place == run and not _holds_only_a_start(run):
        is_run = (run / "config.yaml").exists()
        way_on = f"go on with it by 'slotkeeper resume {run}', or " if is_run else ""
        raise OutputError(f"{run} is not empty; {way_on}choose another folder with --out")


def _holds_only_a_start(run: Path) -> bool:
    """Whether a folder is empty, or holds nothing but what a training that was killed at once has written."""
    names = {entry.name for entry in run.iterdir() if not entry.name.startswith(".partial-")}
    return not names or (LOCK_FILE in names and names <= {LOCK_FILE, _FINGERPRINTS, _VERSIONS})


def tidy(run: Path) -> None:
    """Remove what a killed training left half-written; call it while the run is locked."""
    for folder in (run, run / "samples", run / "checkpoints"):
        remove_leftovers(folder, is_alone=True)


def create_run(run: Path, config: Config, fingerprints: dict[str, str]) -> None:
    """Write what describes the run, the config last: with it the folder counts as a run.

    Raises:
        OutputError: the folder can't be written.
    """
    write_json(run / _FINGERPRINTS, fingerprints)
    write_json(run / _VERSIONS, describe_environment())
    with atomic_path(run / "config.yaml") as partial:
        partial.write_text(config_yaml(config), encoding="utf-8")


def read_fingerprints(run: Path) -> dict[str, str]:
    """The fingerprints of the videos that the run began with.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = run / _FINGERPRINTS
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}") from error


def describe_environment() -> dict[str, object]:
    """Packages, Python and processor."""
    return {
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def locked(run: Path) -> AbstractContextManager[None]:
    """Hold the run for this process; see `slotkeeper.files.locked_folder`."""
    return locked_folder(run, busy=f"another process is training in {run}")


def drop_lines_after(path: Path, step: int) -> None:
    """Remove logged lines of later steps, and a last line that a kill cut short.

    Raises:
        CheckpointError: the log can't be read.
    """
    if not path.exists():
        return
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    with atomic_path(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= step), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
