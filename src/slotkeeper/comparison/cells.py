"""A cell: one variant trained with one seed, its folder, and its result.

cells/NAME/seed-0-KEY/       KEY is a hash of all that the training depends on, so a changed plan gets new folders and
                             an unchanged cell finds its old one
    cell.json                what the cell's process is told
    run/                     the run folder
    log.txt                  what the process printed, the newest attempt last
    result-KEY.json          the result; this KEY is a hash of what it was scored on
    tracked-KEY.npz          the page's video, tracked
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slotkeeper.comparison.plan import EvaluationSet
from slotkeeper.comparison.variants import BuiltVariant
from slotkeeper.config import Config, parse_config, plain_config
from slotkeeper.data import VideoItem, data_fingerprint
from slotkeeper.errors import CheckpointError
from slotkeeper.files import json_or_none, write_json

FORMAT_VERSION = 1
_WITHOUT_EFFECT = {
    "data": ("num_workers", "cache_gb"),
    "training": ("checkpoint_minutes", "log_every", "sample_every", "evaluate_every", "evaluate_videos"),
}
"""Settings that change what is seen of a training, not what comes of it."""


@dataclass(frozen=True, kw_only=True)
class ScoredSet:
    """An evaluation set with its videos. root: their folder; None for the run's own held-out videos."""

    name: str
    root: Path | str | None
    items: Sequence[VideoItem]
    num_frames: int | None

    @classmethod
    def of(cls, wanted: EvaluationSet, root: Path | str | None, items: Sequence[VideoItem]) -> ScoredSet:
        """The set that a plan asks for, with the videos that were found."""
        return cls(name=wanted.name, root=root, items=items, num_frames=wanted.num_frames)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What every cell is scored on. video: the one that is tracked for the page. key: a hash of all this."""

    sets: tuple[ScoredSet, ...]
    video: VideoItem
    key: str

    @classmethod
    def of(cls, sets: Sequence[ScoredSet], video: VideoItem) -> Scoring:
        """Hash the sets' names and the content of their videos."""
        facts = [[item.name, item.num_frames, data_fingerprint(item.items)] for item in sets]
        return cls(sets=tuple(sets), video=video, key=short_hash([FORMAT_VERSION, facts, video.video_id]))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant with one seed. folder: where it lives. config: what it trains, None until its steps are known."""

    variant: BuiltVariant
    seed: int
    folder: Path
    scoring: Scoring
    config: Config | None = None

    @property
    def result_path(self) -> Path:
        """Where its result lies once there is one."""
        return self.folder / f"result-{self.scoring.key}.json"

    @property
    def tracked_path(self) -> Path:
        """Where the tracked video lies."""
        return self.folder / f"tracked-{self.scoring.key}.npz"

    @property
    def title(self) -> str:
        """Its name for a reader."""
        return f"{self.variant.name}, seed {self.seed}"

    def result(self) -> dict[str, Any] | None:
        """The result, or None where there is none that can be read."""
        return read_whole_json(self.result_path)

    def write_task(self) -> None:
        """Tell the cell's process what to do.

        Raises:
            OutputError: the folder can't be written.
        """
        assert self.config is not None
        sets = [
            {"name": item.name, "root": None if item.root is None else str(item.root), "num_frames": item.num_frames}
            for item in self.scoring.sets
        ]
        task = {
            "variant": self.variant.name,
            "seed": self.seed,
            "config": plain_config(self.config),
            "sets": sets,
            "video": self.scoring.video.video_id,
            "result": self.result_path.name,
            "tracked": self.tracked_path.name,
        }
        write_json(self.folder / "cell.json", task)


def training_key(config: Config, *, minutes: float | None, data: str) -> str:
    """A hash of all that a training depends on, its seed aside; `data` is the videos' fingerprint.

    With a budget in minutes the steps are measured later; the minutes stand for them.
    """
    facts = plain_config(config)
    del facts["seed"], facts["evaluation"]
    for section, names in _WITHOUT_EFFECT.items():
        for name in names:
            del facts[section][name]
    for name in ("path", "train", "val", "val_share", "scenes"):  # the fingerprint tells what is there
        del facts["data"][name]
    return short_hash([FORMAT_VERSION, facts, minutes, data])


def short_hash(value: Any) -> str:
    """Ten hexadecimal digits of plain data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def task_config(task: Mapping[str, Any]) -> Config:
    """The config of a task that `Cell.write_task` wrote."""
    return parse_config(task["config"], "cell.json")


def read_task(folder: Path) -> dict[str, Any]:
    """What the process in this folder is to do.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    task = read_whole_json(folder / "cell.json")
    if task is None:
        raise CheckpointError(f"{folder / 'cell.json'} is missing or damaged")
    return task


def read_whole_json(path: Path) -> dict[str, Any] | None:
    """An object from a JSON file; None where it is missing or damaged."""
    value = json_or_none(path)
    return value if isinstance(value, dict) else None
