"""The short way from a folder of weights to tracked objects."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from slotkeeper.build import load_model
from slotkeeper.hardware import choose_device
from slotkeeper.tracking import Tracker, TrackingRules


def load(
    run_or_model: str | Path = "default",
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    rules: TrackingRules | None = None,
    num_slots: int | None = None,
) -> Tracker:
    """A tracker with the newest weights of a run, with a model folder's, or with those shipped with the package.

    num_slots: another number than the model was trained with; None for its own.

    Raises:
        CheckpointError: there is no such model, or it is damaged, foreign or too new.
        ConfigError: a GPU is asked for where there is none, or the model can't have so many slots.
    """
    chosen = choose_device(device)
    loaded = load_model(run_or_model, num_slots=num_slots)
    return Tracker(loaded.model, size=loaded.config.data.size, device=chosen, rules=rules, name=str(run_or_model))
