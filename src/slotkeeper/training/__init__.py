"""Training: one loop, everything around it in small files."""

from __future__ import annotations

from slotkeeper.training.loop import Trainer
from slotkeeper.training.processes import Processes, join_processes
from slotkeeper.training.runs import FinishedRun, resume, train
from slotkeeper.training.videos import RunVideos, check_lengths, find_held_out_scenes, find_run_videos

__all__ = [
    "FinishedRun",
    "Processes",
    "RunVideos",
    "Trainer",
    "check_lengths",
    "find_held_out_scenes",
    "find_run_videos",
    "join_processes",
    "resume",
    "train",
]
