"""What each command does: read its arguments, call the library, print the result.

Each imports what it needs, so that none waits for what others need.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from slotkeeper.cli.outcomes import DONE, report_skipped
from slotkeeper.errors import ConfigError, DataError, counted, none_of
from slotkeeper.files import check_writable, write_json
from slotkeeper.freed_memory import keep_freed_memory

if TYPE_CHECKING:
    from slotkeeper.scoring import Scores


def run(arguments: argparse.Namespace) -> int:
    """Run a parsed command; returns the exit code."""
    keep_freed_memory()  # this process is ours alone; in a user's own it is for the user to say
    name = f"{arguments.command} {arguments.action}" if arguments.command == "data" else arguments.command
    return _COMMANDS[name](arguments)


def _train(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.train import run_train

    return run_train(arguments)


def _resume(arguments: argparse.Namespace) -> int:
    from slotkeeper.cli.train import run_resume

    return run_resume(arguments)


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
    from slotkeeper.cli.track import run_track

    return run_track(arguments)


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
