"""The videos of a comparison: learned from, held out, and of the evaluation sets; all there before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slotkeeper.comparison.cells import ScoredSet, Scoring
from slotkeeper.comparison.plan import EvaluationSet, Plan
from slotkeeper.comparison.variants import BuiltVariant
from slotkeeper.config import Config, ScenesConfig, parse_config, plain_config
from slotkeeper.data import VideoItem, data_fingerprint, find_videos, path_or_url
from slotkeeper.errors import ConfigError, DataError, nearest_name
from slotkeeper.training import RunVideos, check_lengths, find_held_out_scenes, find_run_videos


@dataclass(frozen=True, kw_only=True)
class ComparedVideos:
    """All that the cells learn from and are scored on.

    config: the base's, whose data section says where the videos are. training_fingerprint: of the training videos.
    """

    config: Config
    run: RunVideos
    scoring: Scoring
    training_fingerprint: str

    def describe(self) -> dict[str, Any]:
        """Where the videos come from and how many there are, as plain data."""
        data = plain_config(self.config)["data"]
        source = {name: data[name] for name in ("scenes", "train", "val", "val_share")}
        return {
            "source": {name: value for name, value in source.items() if value is not None},
            "num_train": len(self.run.train),
            "training_fingerprint": self.training_fingerprint,
            "size": list(self.config.data.size),
            "shown_video": self.scoring.video.video_id,
        }


def find_compared_videos(plan: Plan, variants: Sequence[BuiltVariant], *, show_progress: bool) -> ComparedVideos:
    """Find all videos, rendering built-in scenes where they are missing.

    Raises:
        ConfigError: the video to show doesn't exist, or scenes are described wrongly.
        DataError: a folder is missing, videos are too short, or none has masks.
        OutputError: scenes can't be written.
    """
    config = variants[0].config
    for item in plan.evaluation:  # folders are looked for before anything is rendered
        if item.path is not None:
            find_videos(item.path)
    scenes = {item.name: _scenes(config, item) for item in plan.evaluation if item.scenes is not None}
    for truth in sorted({variant.truth for variant in variants}, key=len):  # before cells ask for it side by side
        run = find_run_videos(config.data, truth=truth, show_progress=show_progress)
    fingerprint = data_fingerprint(run.train, with_truth=bool(truth))
    for variant in variants:
        check_lengths(run.train, variant.config)
    sets = [_found(item, config, run, scenes, show_progress=show_progress) for item in plan.evaluation]
    for found in sets:
        if not any(item.masks for item in found.items):
            where = found.root or "the held-out videos"
            raise DataError(f"evaluation '{found.name}' needs true masks, but none of {where} has any")
    scoring = Scoring.of(sets, _shown(plan.video, sets[0].items))
    return ComparedVideos(config=config, run=run, scoring=scoring, training_fingerprint=fingerprint)


def _scenes(config: Config, wanted: EvaluationSet) -> ScenesConfig:
    """Checked as a config's own `data.scenes` would be."""
    from slotkeeper.scenes.families import FAMILIES  # deferred: physics is only needed where scenes are

    raw = plain_config(config)
    raw["data"] |= {"scenes": dict(wanted.scenes or {}), "train": None, "val": None}
    try:
        scenes = parse_config(raw, f"evaluation '{wanted.name}'").data.scenes
    except ConfigError as error:
        raise ConfigError(str(error).replace("data.scenes", "scenes")) from error
    assert scenes is not None
    if scenes.family not in FAMILIES:
        raise ConfigError(
            f"evaluation '{wanted.name}': there is no family '{scenes.family}'; {nearest_name(scenes.family, FAMILIES)}"
        )
    if scenes.num_val < 1:
        raise ConfigError(f"evaluation '{wanted.name}': scenes.num_val must be at least 1, got 0")
    return scenes


def _found(
    wanted: EvaluationSet, config: Config, run: RunVideos, scenes: dict[str, ScenesConfig], *, show_progress: bool
) -> ScoredSet:
    if wanted.name in scenes:
        root = find_held_out_scenes(config.data, scenes[wanted.name], show_progress=show_progress)
        return ScoredSet.of(wanted, root, find_videos(root))
    if wanted.path is not None:
        return ScoredSet.of(wanted, path_or_url(wanted.path), find_videos(wanted.path))
    if not run.val:
        raise DataError(run.note or f"no video of {run.root} is held out, so evaluation '{wanted.name}' has none")
    return ScoredSet.of(wanted, None, run.val)


def _shown(video: int | str, items: Sequence[VideoItem]) -> VideoItem:
    by_id = {item.video_id: item for item in items}
    if isinstance(video, int):
        if not 0 <= video < len(items):
            raise ConfigError(f"video must be a number from 0 to {len(items) - 1}, got {video}")
        return items[video]
    if video not in by_id:
        raise ConfigError(f"there is no video '{video}' in the first evaluation set; {nearest_name(video, by_id)}")
    return by_id[video]
