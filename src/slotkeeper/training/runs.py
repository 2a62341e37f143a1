"""Starting a run and going on with one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slotkeeper.build import begin_with, build_losses, build_model, check_frame_size, load_model, resolved
from slotkeeper.checkpoint import checkpoint_folder, list_checkpoints
from slotkeeper.config import Config, DataConfig, config_yaml, load_config
from slotkeeper.data import SkippedVideo, VideoItem, data_fingerprint
from slotkeeper.errors import CheckpointError, DataError
from slotkeeper.evaluation import Evaluation, evaluate
from slotkeeper.files import write_json
from slotkeeper.hardware import choose_device, choose_precision
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.curriculum import check_shares, stage_at
from slotkeeper.training.engine import own_device
from slotkeeper.training.loop import Trainer
from slotkeeper.training.needs import ClipNeeds, clip_needs, needs_of
from slotkeeper.training.processes import Processes, join_processes
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
    that could not be used, by id. skipped_held_out: held-out ones, as far as they were looked at or scored. Of several
    processes the first one alone has the scores.
    """

    run: Path
    config: Config
    videos: RunVideos
    metrics: dict[str, Any]
    evaluation: Evaluation | None
    skipped: dict[str, SkippedVideo]
    skipped_held_out: dict[str, SkippedVideo]


def train(
    config: Config, run: str | Path, *, show_progress: bool = True, processes: Processes | None = None
) -> FinishedRun:
    """Train from scratch into a new run folder.

    processes: those that train together; None for all that torchrun or srun started.

    Raises:
        ConfigError: a component or setting is wrong, or a GPU is asked for where there is none.
        DataError: there are no videos, or none is long enough, or none can be read.
        OutputError: the folder can't be written, or isn't empty.
        TrainingError: a loss was not finite, a signal asked to stop, or another process has ended.
    """
    with _joined(processes) as together:
        return _train(config, Path(run), together, show_progress=show_progress and together.is_first)


def _train(config: Config, run: Path, processes: Processes, *, show_progress: bool) -> FinishedRun:
    check_shares(config.training, processes.world_size)
    device = own_device(config.training.device, processes.place)
    model = build_model(config)  # a wrong setting is named before anything is written
    losses = build_losses(config, model)
    begin_with(model, config)
    check_frame_size(model, config.data.size)
    needs = clip_needs(config, model, losses)
    if processes.is_first:
        refuse_unusable(run)
    videos = _find_videos(config.data, needs, processes, show_progress=show_progress)
    config = with_known_lengths(config, videos.train)
    check_lengths(videos.train, config)
    with closing(_source(config, videos, needs, processes, show_progress=show_progress)) as source:
        source.open(**stage_at(config.training, 0))  # so are videos of which none can be used
        with _locked(run, processes):
            if processes.is_first:
                refuse_unusable(run)
                tidy(run)
                precision = choose_precision(config.training.precision, device)
                config = replace(config, training=replace(config.training, precision=precision))
            precision = processes.from_first(config.training.precision)
            config = resolved(replace(config, training=replace(config.training, precision=precision)))
            fingerprints = _fingerprints(videos, needs)
            processes.require_same("kind of device", device.type)
            processes.require_same("settings", config_yaml(config))
            processes.require_same("training videos", fingerprints["train"])
            if processes.is_first:
                create_run(run, config, fingerprints)
            return _fit(config, run, videos, source, processes, [], show_progress=show_progress)


def resume(run: str | Path, *, show_progress: bool = True, processes: Processes | None = None) -> FinishedRun:
    """Go on with a run from its newest whole checkpoint; a finished run is left as it is.

    Damaged checkpoints are named on stderr and set aside as `damaged-step-...`, unless there is no whole one. The
    number of processes may be another than before. processes: as `train` takes it.

    Raises:
        CheckpointError: the folder is no run, or all its checkpoints are damaged.
        DataError: the videos are gone, or are not those the run began with.
        OutputError: another process is training in this run, or the folder can't be written.
        TrainingError: as `train`.
    """
    with _joined(processes) as together:
        return _resume(Path(run), together, show_progress=show_progress and together.is_first)


def _resume(run: Path, processes: Processes, *, show_progress: bool) -> FinishedRun:
    if not (run / "config.yaml").exists():
        raise CheckpointError(f"{run} is not a run folder: it has no config.yaml")
    config = load_config(run / "config.yaml")
    check_shares(config.training, processes.world_size)
    with _locked(run, processes):
        if processes.is_first:
            tidy(run)
        needs = needs_of(config)
        videos = _find_videos(config.data, needs, processes, show_progress=show_progress)
        begun, found = read_fingerprints(run), _fingerprints(videos, needs)
        if begun.get("train") != found["train"]:
            raise DataError(f"the videos in {videos.root} are not those that {run} began with (see its data.json)")
        if begun.get("features") != found.get("features"):
            raise DataError(f"the features in {needs.features} are not those that {run} began with (see its data.json)")
        processes.require_same("kind of device", own_device(config.training.device, processes.place).type)
        with closing(_source(config, videos, needs, processes, show_progress=show_progress)) as source:
            return _fit(config, run, videos, source, processes, list_checkpoints(run), show_progress=show_progress)


def _joined(processes: Processes | None) -> AbstractContextManager[Processes]:
    return join_processes() if processes is None else nullcontext(processes)


def _locked(run: Path, processes: Processes) -> AbstractContextManager[None]:
    return locked(run) if processes.is_first else nullcontext()


def _find_videos(data: DataConfig, needs: ClipNeeds, processes: Processes, *, show_progress: bool) -> RunVideos:
    """Built-in scenes are rendered by the first process while the others wait."""
    if processes.is_first:
        videos = find_run_videos(data, truth=needs.truth, show_progress=show_progress)
    processes.wait()
    return videos if processes.is_first else find_run_videos(data, truth=needs.truth, show_progress=False)


def _fingerprints(videos: RunVideos, needs: ClipNeeds) -> dict[str, str]:
    """By which a resumed run knows what it learned from."""
    found = {"train": data_fingerprint(videos.train, with_truth=bool(needs.truth))}
    return found if needs.features is None else found | {"features": needs.features.fingerprint}


def _source(
    config: Config, videos: RunVideos, needs: ClipNeeds, processes: Processes, *, show_progress: bool
) -> CurriculumSource:
    return CurriculumSource(
        config,
        videos.train,
        needs=needs,
        rank=processes.rank,
        world_size=processes.world_size,
        device=own_device(config.training.device, processes.place),
        show_progress=show_progress,
    )


def _restore(trainer: Trainer, checkpoints: Sequence[Path]) -> None:
    """Go to the newest checkpoint that is whole; of several processes the first one chooses it."""
    if trainer.processes.is_first:
        _restore_newest(trainer, checkpoints)
    step = trainer.processes.from_first(trainer.step if checkpoints else None)
    if step is not None and not trainer.processes.is_first:
        trainer.restore(checkpoint_folder(trainer.run, step))


def _restore_newest(trainer: Trainer, checkpoints: Sequence[Path]) -> None:
    """Those that are damaged are set aside."""
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
    processes: Processes,
    checkpoints: Sequence[Path],
    *,
    show_progress: bool,
) -> FinishedRun:
    seen = videos.val or [replace(item, masks=None) for item in videos.train]
    watcher = Watcher(config, run, seen if processes.is_first else [])
    trainer = Trainer(config, run, source, watcher, processes, is_new=not checkpoints)
    _restore(trainer, checkpoints)
    if processes.is_first:
        drop_lines_after(run / "metrics.jsonl", trainer.step)
    trainer.fit(show_progress=show_progress)
    source.close()
    processes.part()
    metrics: dict[str, Any] = {"steps": trainer.step} | trainer.sizes() | trainer.speed()
    bare = {item.video_id for item in videos.val if item.masks is None}  # nothing but pictures is made of these
    held_out = {name: video for name, video in watcher.skipped.items() if name in bare}
    evaluation = None
    if processes.is_first and len(bare) < len(videos.val):
        evaluation, unusable = _score(config, run, videos.val, show_progress=show_progress)
        metrics |= evaluation.as_json() if evaluation else {}
        held_out |= unusable
    if processes.is_first:
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
