"""From minutes to steps: how many steps of a variant fit into a budget of time, measured before it trains."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slotkeeper.config import Config, value_at
from slotkeeper.training import Trainer, find_run_videos
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.curriculum import stage_at
from slotkeeper.training.needs import needs_of
from slotkeeper.training.run_folder import create_run
from slotkeeper.training.watching import Watcher

_NUM_STEPS, _NUM_WARMING = 8, 3
_LEAST_STEPS = 10


def measure_steps(config: Config, minutes: float, folder: Path) -> dict[str, Any]:
    """Train a few steps of each stage of the curriculum and count how many of the whole fit into `minutes`.

    Gives `steps`, and `seconds_per_step` of each stage: medians of a few steps, clips included, looking at held-out
    videos and decoding them at the start left out. The share of steps in each stage is the config's.
    """
    steps = config.training.steps
    stages: dict[tuple[int, int], int] = {}
    for step in range(steps):
        stage = (value_at(config.training.clip_length, step), value_at(config.training.batch_size, step))
        stages[stage] = stages.get(stage, 0) + 1
    seconds = {stage: _seconds_per_step(config, *stage, folder) for stage in stages}
    mean = sum(seconds[stage] * count for stage, count in stages.items()) / steps
    measured = [
        {"clip_length": length, "batch_size": batch, "seconds_per_step": seconds[length, batch]}
        for length, batch in stages
    ]
    return {"minutes": minutes, "steps": max(_LEAST_STEPS, int(60 * minutes / mean)), "measured": measured}


def _seconds_per_step(config: Config, clip_length: int, batch_size: int, folder: Path) -> float:
    training = replace(
        config.training,
        steps=_NUM_STEPS,
        clip_length=clip_length,
        batch_size=batch_size,
        warmup_steps=0,
        log_every=1,
        sample_every=0,
        evaluate_every=0,
    )
    config = replace(config, training=training)
    run = Path(tempfile.mkdtemp(prefix="speed-", dir=folder))
    try:
        needs = needs_of(config)
        items = find_run_videos(config.data, truth=needs.truth, show_progress=False).train
        with closing(CurriculumSource(config, items, needs=needs)) as source:
            source.open(**stage_at(training, 0))
            create_run(run, config, {})
            Trainer(config, run, source, Watcher(config, run, [])).fit(show_progress=False)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    finally:
        shutil.rmtree(run, ignore_errors=True)
    speeds = [line["frames_per_second"] for line in lines[_NUM_WARMING:]]
    return clip_length * batch_size / float(np.median(speeds))
