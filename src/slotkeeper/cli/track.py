"""`slotkeeper track`: the objects of video files, here or on a cluster."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from slotkeeper.errors import ConfigError, counted
from slotkeeper.files import read_path_list


def run_track(arguments: argparse.Namespace) -> int:
    """Track them, and say where the results lie; returns the exit code."""
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
