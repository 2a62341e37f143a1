"""Predicting how videos go on, and scoring predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from slotkeeper.build import load_model
from slotkeeper.cli.outcomes import DONE, report_skipped
from slotkeeper.data import VideoItem, find_videos
from slotkeeper.errors import ConfigError, DataError
from slotkeeper.files import check_writable, write_json
from slotkeeper.hardware import choose_device
from slotkeeper.metrics.lpips import load_lpips
from slotkeeper.prediction import evaluate_prediction, format_prediction, predict_videos


def predict(arguments: argparse.Namespace) -> int:
    """Write each video's predicted future; returns the exit code."""
    device = choose_device(arguments.device)
    loaded = load_model(arguments.model)
    items, missing = _find(arguments.videos)
    predicted, skipped = predict_videos(
        items,
        loaded,
        arguments.out,
        num_frames=arguments.frames,
        burn_in=arguments.burn_in,
        at=arguments.at,
        name=arguments.model,
        device=device,
        show_progress=not arguments.quiet,
    )
    for video in predicted:
        last = video.first + arguments.frames - 1
        scored = ", scored" if video.is_scored else ""
        print(f"{video.item.video}: frames {video.first} to {last}{scored}; {video.folder / 'predicted.mp4'}")
    return report_skipped([*missing, *skipped], arguments.out)


def evaluate_predictions(arguments: argparse.Namespace) -> int:
    """Score what a model predicts of a data set; returns the exit code."""
    if arguments.num_frames is not None:
        raise ConfigError("--num-frames can't be given with --predict, which says how many frames are looked at")
    if arguments.protocol is not None:
        raise ConfigError("--protocol can't be given with --predict: no published protocol is of predicted frames")
    if arguments.trunk_weights is not None and arguments.lpips is None:
        raise ConfigError("--trunk-weights needs --lpips, which says for which trunk they are")
    if arguments.json is not None:
        check_writable(arguments.json)
    lpips = None if arguments.lpips is None else load_lpips(arguments.lpips, arguments.trunk_weights)
    device = choose_device(arguments.device)
    loaded = load_model(arguments.model, num_slots=arguments.num_slots)
    evaluation = evaluate_prediction(
        loaded.model,
        find_videos(arguments.data),
        size=loaded.config.data.size,
        num_frames=arguments.predict,
        burn_in=arguments.burn_in,
        device=device,
        seeds=(loaded.config.seed,),
        lpips=lpips,
        show_progress=not arguments.quiet,
    )
    print(format_prediction(evaluation))
    if arguments.json is not None:
        write_json(arguments.json, evaluation.as_json())
    left_out = [(video.name, video.reason) for video in evaluation.predicted.scores.skipped if video.is_input_missing]
    return report_skipped(left_out, None) if left_out else DONE


def _find(paths: list[str]) -> tuple[list[VideoItem], list[tuple[str, str]]]:
    """The videos of all places, and those places that hold none; with a single place that is an error."""
    items: list[VideoItem] = []
    missing: list[tuple[str, str]] = []
    for path in paths:
        try:
            items += find_videos(path if "://" in path else Path(path))
        except DataError as error:
            if len(paths) == 1:
                raise
            missing.append((path, str(error)))
    if not items:
        raise DataError(missing[0][1])
    return items, missing
