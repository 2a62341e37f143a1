"""`slotkeeper data features`: what a frozen backbone makes of videos, computed once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from slotkeeper.cli.outcomes import report_skipped
from slotkeeper.errors import ConfigError, counted

if TYPE_CHECKING:
    from slotkeeper.config import Config
    from slotkeeper.model import SlotModel


def run_features(arguments: argparse.Namespace) -> int:
    """Compute them, say what they take on disk, and name the videos that were left out; returns the exit code."""
    from slotkeeper.data.shards.index import INDEX_NAME
    from slotkeeper.hardware import choose_device
    from slotkeeper.training.features import compute_features

    device = choose_device(arguments.device)
    model, config = _model_of(arguments.model, arguments.set)
    made = compute_features(
        model,
        config,
        arguments.data,
        arguments.out,
        precision=arguments.precision,
        shard_mb=arguments.shard_mb,
        device=device,
        show_progress=not arguments.quiet,
    )
    videos, frames = counted(len(made.index.videos), "video"), counted(made.num_frames, "frame")
    shards, size = counted(len(made.index.shards), "shard"), made.num_bytes
    print(
        f"features of {videos} with {frames} in {shards} of together {size / 1e6:.1f} MB, "
        f"{size / 1e3 / made.num_frames:.1f} kB a frame; {made.folder / INDEX_NAME}"
    )
    return report_skipped([(str(video.path), video.reason) for video in made.skipped], made.folder)


def _model_of(config_or_model: str, overrides: list[str]) -> tuple[SlotModel, Config]:
    """Of a YAML file the model that it describes; else a trained one."""
    from slotkeeper.build import build_model, load_model
    from slotkeeper.config import load_config

    if Path(config_or_model).suffix in (".yaml", ".yml"):
        config = load_config(config_or_model, overrides)
        return build_model(config), config
    if overrides:
        raise ConfigError(f"--set changes a config's settings, but {config_or_model} is a trained model")
    loaded = load_model(config_or_model)
    return loaded.model, loaded.config
