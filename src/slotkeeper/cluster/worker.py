"""What happens in a worker of Ray: one video is tracked by a model that stays loaded."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from slotkeeper.build import load_model
from slotkeeper.checkpoint import find_model, model_fingerprint
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.errors import CheckpointError, DamagedModelError, OutputError, VideoError
from slotkeeper.hardware import choose_device
from slotkeeper.track_files import TrackedVideo, track_one
from slotkeeper.tracking import Tracker


@dataclass(frozen=True, kw_only=True)
class TrackingJob:
    """What all videos of a ledger have in common.

    model: a shipped model's name, or a model folder that every machine sees. model_name: as the user called it.
    fingerprint: of the model. places: where components of the user's own are imported from.
    """

    model: str
    model_name: str
    fingerprint: str
    device: Literal["cpu", "cuda"]
    report_frames: int
    places: tuple[str, ...]


def track_in_worker(job: TrackingJob, path: str, staging: str, name: str) -> TrackedVideo | SkippedVideo:
    """Track one video into `staging/name`; `staging` is made, the folder around it must be there.

    Raises:
        CheckpointError: this machine doesn't find the model, or finds another one.
        ConfigError: this machine lacks the device.
        OutputError: it doesn't see the folder of results, or can't write there.
    """
    tracker = _tracker(job)
    folder = Path(staging)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"a worker can't write to {folder.parent}, which all machines must see: {error.strerror or error}"
        ) from error
    try:
        return track_one(Path(path), folder / name, tracker, report_frames=job.report_frames)
    except (VideoError, DamagedModelError) as error:
        return SkippedVideo(path=Path(path), reason=str(error))


@functools.lru_cache(maxsize=1)
def _tracker(job: TrackingJob) -> Tracker:
    """The model, loaded once per process, on one thread: there are as many processes as cores."""
    sys.path.extend(place for place in job.places if place not in sys.path)
    torch.set_num_threads(1)
    if model_fingerprint(find_model(job.model)) != job.fingerprint:
        raise CheckpointError(f"a worker finds another model at {job.model} than the one that the tracking began with")
    loaded = load_model(job.model)
    return Tracker(loaded.model, size=loaded.config.data.size, device=choose_device(job.device), name=job.model_name)
