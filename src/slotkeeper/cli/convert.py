"""`slotkeeper data convert`: a public data set as a folder of videos."""

from __future__ import annotations

import argparse

from slotkeeper.cli.outcomes import report_skipped
from slotkeeper.data import convert_dataset
from slotkeeper.data.conversion.record import RECORD_NAME
from slotkeeper.errors import counted


def run_convert(arguments: argparse.Namespace) -> int:
    """Convert, say what there is, and name what was left out; returns the exit code.

    Raises:
        SlotkeeperError: as `convert_dataset`.
    """
    converted = convert_dataset(
        arguments.name,
        arguments.source,
        arguments.out,
        num_workers=arguments.workers,
        show_progress=not arguments.quiet,
    )
    frames = sum(video.num_frames for video in converted.videos)
    with_masks = sum(any(file.name == "masks.npz" for file in video.files) for video in converted.videos)
    print(
        f"{counted(len(converted.videos), 'video')} of {counted(frames, 'frame')}, {with_masks} with masks; "
        f"{converted.folder / RECORD_NAME}"
    )
    return report_skipped(converted.skipped, converted.folder)
