"""What each command does: read its arguments, call the library, print the result.

Each imports what it needs, so that none waits for what others need.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slotkeeper.errors import ConfigError, DataError, SlotkeeperError, counted, none_of
from slotkeeper.files import check_writable, read_path_list, write_json
from slotkeeper.freed_memory import keep_freed_memory
from slotkeeper.launched import find_place

if TYPE_CHECKING:
    from slotkeeper.scoring import Scores
    from slotkeeper.training import FinishedRun, Processes

DONE, USER_ERROR, SOME_SKIPPED = 0, 2, 3
_HEADLINES = ("video_fg_ari", "video_miou", "slot_permanence")


def run(arguments: argparse.Namespace) -> int:
    """Run a parsed command; returns the exit code."""
    keep_freed_memory()  # this process is ours alone; in a user's own it is for the user to say
    name = f"{arguments.command} {arguments.action}" if arguments.command == "data" else arguments.command
    return _COMMANDS[name](arguments)


def _train(arguments: argparse.Namespace) -> int:
    _quieten_libraries()
    from slotkeeper.config import load_config
    from slotkeeper.training import join_processes, train

    with join_processes() as processes, _one_voice(processes):
        config = load_config(arguments.config, arguments.set)
        run_folder = arguments.out or Path("runs") / arguments.config.stem
        finished = train(config, run_folder, show_progress=not arguments.quiet, processes=processes)
        return _finish_training(finished) if processes.is_first else DONE


def _resume(arguments: argparse.Namespace) -> int:
    _quieten_libraries()
    from slotkeeper.training import join_processes, resume

    with join_processes() as processes, _one_voice(processes):
        finished = resume(arguments.run, show_progress=not arguments.quiet, processes=processes)
        return _finish_training(finished) if processes.is_first else DONE


def _quieten_libraries() -> None:
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


def report_unusable(finished: FinishedRun) -> int:
    """Name a run's videos that could not be used, in training or held out; returns the exit code."""
    videos = [*finished.skipped.values(), *finished.skipped_held_out.values()]
    return report_skipped([(str(video.path), video.reason) for video in videos], finished.run)


def _predict(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.predict import predict

    return predict(arguments)


def _refuse_without_predict(arguments: argparse.Namespace) -> None:
    for option in ("burn_in", "lpips", "trunk_weights"):
        if getattr(arguments, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')} is for scoring predictions, with --predict")


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.predict is not None:
        from slotkeeper.cli.predict import evaluate_predictions

        return evaluate_predictions(arguments)
    _refuse_without_predict(arguments)
    from slotkeeper.build import load_model
    from slotkeeper.data import find_videos
    from slotkeeper.evaluation import evaluate
    from slotkeeper.hardware import choose_device
    from slotkeeper.metrics.protocols import find_protocol
    from slotkeeper.scoring import format_table

    _check_json(arguments.json)
    named = None if arguments.protocol is None else find_protocol(arguments.protocol)
    if named is not None and arguments.num_frames is not None:
        raise ConfigError(f"--num-frames can't be given with --protocol: {named.name} says how many")
    device = choose_device(arguments.device)
    loaded = load_model(arguments.model, num_slots=arguments.num_slots)
    configured = None if named else loaded.config.evaluation.num_frames
    evaluation = evaluate(
        loaded.model,
        find_videos(arguments.data),
        size=loaded.config.data.size,
        num_frames=arguments.num_frames or configured,
        named=named,
        device=device,
        seeds=(loaded.config.seed,),
        show_progress=not arguments.quiet,
    )
    print(format_table(evaluation.scores))
    if arguments.json is not None:
        write_json(arguments.json, evaluation.as_json())
    return _report_left_out(evaluation.scores)


def _score(arguments: argparse.Namespace) -> int:
    from slotkeeper.scoring import format_table, score_folders

    _check_json(arguments.json)
    scores = score_folders(arguments.predicted, arguments.true)
    print(format_table(scores))
    if arguments.json is not None:
        write_json(arguments.json, scores.as_json())
    return _report_left_out(scores)


def _check_json(path: Path | None) -> None:
    """Know before the work whether its result can be written."""
    if path is not None:
        check_writable(path)


def _report_left_out(scores: Scores) -> int:
    """Name the inputs that could not be scored on stderr."""
    return report_skipped([(video.name, video.reason) for video in scores.skipped if video.is_input_missing], None)


def report_skipped(skipped: Sequence[tuple[str, str]], folder: Path | None) -> int:
    """Name what was left out, on stderr and in the folder's skipped.json; returns the exit code.

    Without any, an older list in the folder goes.
    """
    for name, reason in skipped:
        is_named = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", reason) is not None
        print(f"skipped: {reason if is_named else f'{name}: {reason}'}", file=sys.stderr)
    if folder is not None and skipped:
        write_json(folder / "skipped.json", [{"input": name, "reason": reason} for name, reason in skipped])
    elif (
        folder is not None and (folder / "skipped.json").exists()
    ):  # a whole folder may lie where nothing can be written
        (folder / "skipped.json").unlink(missing_ok=True)
    return SOME_SKIPPED if skipped else DONE


def _compare(arguments: argparse.Namespace) -> int:
    from slotkeeper.comparison import RESULT_FILES, compare

    folder = arguments.out or Path("runs/compare") / arguments.plan.stem
    options = [*(["--jobs", str(arguments.jobs)] if arguments.jobs else []), *(["--ray"] if arguments.ray else [])]
    finished = compare(
        arguments.plan,
        folder,
        jobs=arguments.jobs,
        use_ray=arguments.ray,
        command=["slotkeeper", "compare", str(arguments.plan), "--out", str(folder), *options],
        show_progress=not arguments.quiet,
    )
    for variant in finished.comparison["variants"]:
        if variant["outcome"]:
            print(f"{variant['name']}: {variant['outcome']}")
    print(f"{finished.folder}: {', '.join(RESULT_FILES)}")
    return report_skipped(finished.crashed, finished.folder)


def _track(arguments: argparse.Namespace) -> int:
    videos = _videos_to_track(arguments)
    if arguments.cluster:
        return _track_on_cluster(arguments, videos)
    from slotkeeper.data import read_starts
    from slotkeeper.loading import load
    from slotkeeper.track_files import track_videos
    from slotkeeper.tracking import TrackingRules

    starts = None if arguments.start is None else read_starts(arguments.start)
    rules = TrackingRules(cut_change=1.0) if arguments.no_cuts else None
    tracker = load(arguments.model, device=arguments.device, rules=rules, num_slots=arguments.num_slots)
    summary = track_videos(videos, tracker, arguments.out, starts=starts, show_progress=not arguments.quiet)
    for video in summary.tracked:
        found = f"{counted(video.num_objects, 'object')} in {counted(video.num_frames, 'frame')}"
        cuts = f", {counted(video.num_cuts, 'cut')}" if video.num_cuts else ""
        print(f"{video.path}: {found}{cuts}; {video.folder / 'report.html'}")
    return summary.exit_code


def _videos_to_track(arguments: argparse.Namespace) -> list[str]:
    """The videos given and listed; options that don't go together are refused."""
    for option in () if arguments.cluster else ("address", "jobs", "retry"):
        if getattr(arguments, option):
            raise ConfigError(f"--{option} is for tracking with --cluster")
    for option in ("start", "num_slots", "no_cuts") if arguments.cluster else ():
        if getattr(arguments, option):
            raise ConfigError(f"--{option.replace('_', '-')} can't be given with --cluster")
    videos = [*arguments.videos, *(read_path_list(arguments.list) if arguments.list else ())]
    if not videos:
        raise ConfigError("the following arguments are required: VIDEO; see 'slotkeeper track --help'")
    return videos


def _track_on_cluster(arguments: argparse.Namespace, videos: Sequence[str]) -> int:
    from slotkeeper.cluster import format_summary, track_on_cluster

    summary = track_on_cluster(
        videos,
        arguments.out,
        model=arguments.model,
        address=arguments.address or os.environ.get("RAY_ADDRESS"),
        jobs=arguments.jobs,
        device=arguments.device,
        is_retry=arguments.retry,
        show_progress=not arguments.quiet,
    )
    print(format_summary(summary))
    return summary.exit_code


def _demo(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.demo import run_demo

    return run_demo(arguments.out, steps=arguments.steps, seed=arguments.seed)


def _render(arguments: argparse.Namespace) -> int:
    from slotkeeper.scenes.dataset import render_dataset

    num_videos = render_dataset(
        arguments.out,
        family=arguments.family,
        num_videos=arguments.num_videos,
        num_frames=arguments.num_frames,
        size=arguments.size,
        seed=arguments.seed,
        num_workers=arguments.workers,
        truth=("masks", *(kind for kind in arguments.truth if kind != "masks")),
    )
    print(f"{counted(num_videos, 'video')} in {arguments.out}")
    return DONE


def _shard(arguments: argparse.Namespace) -> int:
    from slotkeeper.data import make_shards
    from slotkeeper.data.shards.index import INDEX_NAME

    made = make_shards(arguments.source, arguments.out, shard_mb=arguments.shard_mb)
    shards = made.index.shards
    size = sum(shard.num_bytes for shard in shards) / 1e6
    print(
        f"{counted(len(made.index.videos), 'video')} in {counted(len(shards), 'shard')} of together {size:.1f} MB; "
        f"{made.folder / INDEX_NAME}"
    )
    return report_skipped([(str(video.path), video.reason) for video in made.skipped], made.folder)


def _convert(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.convert import run_convert

    return run_convert(arguments)


def _features(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.features import run_features

    return run_features(arguments)


def _inspect(arguments: argparse.Namespace) -> int:
    from slotkeeper.data.inspect import describe, inspect_path, save_contact_sheet

    name = arguments.path.resolve().name if isinstance(arguments.path, Path) else Path(arguments.path).name
    sheet = arguments.sheet or Path(f"{name}-contact-sheet.png")
    check_writable(sheet)
    inspection = inspect_path(arguments.path, progress=True)
    print(describe(inspection))
    if not inspection.whole:
        raise DataError(none_of(len(inspection.videos), str(inspection.videos[0].problem), "decoded"))
    save_contact_sheet(sheet, inspection)
    print(f"contact sheet: {sheet}")
    problems = [(str(video.item.video), problem) for video in inspection.videos for problem in video.problems]
    return report_skipped([*inspection.damaged_shards, *problems], None)


def _list(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.listings import component_lines, model_lines, protocol_lines

    lines = {"models": model_lines, "components": component_lines, "protocols": protocol_lines}[arguments.command]()
    print("\n".join(lines))
    return DONE


_COMMANDS = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "score": _score,
    "compare": _compare,
    "track": _track,
    "predict": _predict,
    "demo": _demo,
    "data render": _render,
    "data shard": _shard,
    "data convert": _convert,
    "data features": _features,
    "data inspect": _inspect,
    "models": _list,
    "components": _list,
    "protocols": _list,
}
