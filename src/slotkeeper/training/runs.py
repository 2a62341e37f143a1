"""Starting a run and going on with one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slotkeeper.build import build_losses, build_model, check_frame_size, load_model, resolved
from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.config import Config, load_config
from slotkeeper.data import SkippedVideo, VideoItem, data_fingerprint
from slotkeeper.errors import CheckpointError, DataError
from slotkeeper.evaluation import Evaluation, evaluate
from slotkeeper.files import write_json
from slotkeeper.hardware import choose_device, choose_precision
from slotkeeper.training.clip_source import CurriculumSource, stage_at
from slotkeeper.training.loop import Trainer
from slotkeeper.training.run_folder import (
    create_run,
    drop_lines_after,
    locked,
    read_fingerprints,
    refuse_unusable,
    tidy,
)
from slotkeeper.training.videos import RunVideos, check_lengths, find_run_videos, with_known_lengths
from slotkeeper.training.watching import Watcher

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that reached its last step.

    metrics: as in `metrics.json`. evaluation: of the held-out videos, if any has usable masks. skipped: training videos
    that could not be used, by id. skipped_held_out: held-out ones, as far as they were looked at or scored.
    """

    run: Path
    config: Config
    videos: RunVideos
    metrics: dict[str, Any]
    evaluation: Evaluation | None
    skipped: dict[str, SkippedVideo]
    skipped_held_out: dict[str, SkippedVideo]


def train(config: Config, run: str | Path, *, show_progress: bool = True) -> FinishedRun:
    """Train from scratch into a new run folder.

    Raises:
        ConfigError: a component or setting is wrong, or a GPU is asked for where there is none.
        DataError: there are no videos, or none is long enough, or none can be read.
        OutputError: the folder can't be written, or isn't empty.
        TrainingError: a loss was not finite, or a signal asked to stop.
    """
    run = Path(run)
    device = choose_device(config.training.device)
    model = build_model(config)  # a wrong setting is named before anything is written
    build_losses(config, model)
    check_frame_size(model, config.data.size)
    refuse_unusable(run)
    videos = find_run_videos(config.data, show_progress=show_progress)
    config = with_known_lengths(config, videos.train)
    check_lengths(videos.train, config)
    with closing(CurriculumSource(config, videos.train, show_progress=show_progress)) as source:
        source.open(**stage_at(config.training, 0))  # so are videos of which none can be used
        with locked(run):
            refuse_unusable(run)
            tidy(run)
            precision = choose_precision(config.training.precision, device)
            config = resolved(replace(config, training=replace(config.training, precision=precision)))
            create_run(run, config, {"train": data_fingerprint(videos.train)})
            return _fit(config, run, videos, source, [], show_progress=show_progress)


def resume(run: str | Path, *, show_progress: bool = True) -> FinishedRun:
    """Go on with a run from its newest whole checkpoint; a finished run is left as it is.

    Damaged checkpoints are named on stderr and set aside as `damaged-step-...`, unless there is no whole one.

    Raises:
        CheckpointError: the folder is no run, or all its checkpoints are damaged.
        DataError: the videos are gone, or are not those the run began with.
        OutputError: another process is training in this run, or the folder can't be written.
        TrainingError: as `train`.
    """
    run = Path(run)
    if not (run / "config.yaml").exists():
        raise CheckpointError(f"{run} is not a run folder: it has no config.yaml")
    config = load_config(run / "config.yaml")
    with locked(run):
        tidy(run)
        videos = find_run_videos(config.data, show_progress=show_progress)
        if read_fingerprints(run).get("train") != data_fingerprint(videos.train):
            raise DataError(f"the videos in {videos.root} are not those that {run} began with (see its data.json)")
        with closing(CurriculumSource(config, videos.train, show_progress=show_progress)) as source:
            return _fit(config, run, videos, source, list_checkpoints(run), show_progress=show_progress)


def _restore(trainer: Trainer, checkpoints: Sequence[Path]) -> None:
    """Go to the newest checkpoint that is whole; those that aren't are set aside."""
    damaged: list[Path] = []
    for folder in reversed(checkpoints):
        try:
            trainer.restore(folder)
            break
        except CheckpointError as error:
            if folder == checkpoints[0]:
                raise
            print(f"{error}; going on from the checkpoint before it", file=sys.stderr)
            damaged.append(folder)
    for folder in damaged:
        folder.replace(folder.with_name(f"damaged-{folder.name}"))


def _fit(
    config: Config,
    run: Path,
    videos: RunVideos,
    source: CurriculumSource,
    checkpoints: Sequence[Path],
    *,
    show_progress: bool,
) -> FinishedRun:
    watcher = Watcher(config, run, videos.val or [replace(item, masks=None) for item in videos.train])
    trainer = Trainer(config, run, source, watcher)
    _restore(trainer, checkpoints)
    drop_lines_after(run / "metrics.jsonl", trainer.step)
    trainer.fit(show_progress=show_progress)
    source.close()
    metrics: dict[str, Any] = {"steps": trainer.step} | trainer.sizes() | trainer.speed()
    bare = {item.video_id for item in videos.val if item.masks is None}  # nothing but pictures is made of these
    held_out = {name: video for name, video in watcher.skipped.items() if name in bare}
    evaluation = None
    if len(bare) < len(videos.val):
        evaluation, unusable = _score(config, run, videos.val, show_progress=show_progress)
        metrics |= evaluation.as_json() if evaluation else {}
        held_out |= unusable
    write_json(run / "metrics.json", metrics)
    return FinishedRun(
        run=run,
        config=config,
        videos=videos,
        metrics=metrics,
        evaluation=evaluation,
        skipped=source.skipped,
        skipped_held_out=held_out,
    )


def _score(
    config: Config, run: Path, items: list[VideoItem], *, show_progress: bool
) -> tuple[Evaluation | None, dict[str, SkippedVideo]]:
    """Scores of the run's newest weights, as they will be loaded by others, and the videos that can't be used.

    Where none can be used there is no evaluation.
    """
    skipped: list[SkippedVideo] = []
    evaluation: Evaluation | None = None
    try:
        evaluation = evaluate(
            load_model(run).model,
            items,
            size=config.data.size,
            num_frames=config.evaluation.num_frames,
            device=choose_device(config.training.device),
            seeds=(config.seed,),
            skipped=skipped,
            show_progress=show_progress,
        )
    except DataError:
        assert skipped
    return evaluation, {video.video_id: video for video in skipped}
