"""What each step of a training sees: clips grow longer and batches change as the settings' schedules say."""

from __future__ import annotations

import math
from itertools import pairwise

from slotkeeper.config import TrainingConfig, pairs_of, value_at
from slotkeeper.errors import ConfigError


def stage_at(settings: TrainingConfig, step: int) -> dict[str, int]:
    """Clip length and batch size at a step."""
    return {
        "clip_length": value_at(settings.clip_length, step),
        "batch_size": value_at(settings.batch_size, step),
    }


def frames_seen(settings: TrainingConfig, num_steps: int) -> int:
    """Frames that the first steps see together."""
    schedules = (pairs_of(settings.clip_length), pairs_of(settings.batch_size))
    changes = sorted({start for schedule in schedules for start, _ in schedule if start < num_steps})
    stages = pairwise([*changes, num_steps])
    return sum((end - start) * math.prod(stage_at(settings, start).values()) for start, end in stages)


def check_shares(settings: TrainingConfig, num_processes: int) -> None:
    """Refuse batches that can't be shared equally.

    Raises:
        ConfigError: names the batch and the number of processes.
    """
    for _, size in pairs_of(settings.batch_size):
        if size != "all" and size % num_processes:
            raise ConfigError(
                f"training.batch_size {size} can't be shared equally by {num_processes} processes; "
                f"{size // num_processes * num_processes or num_processes} can"
            )
