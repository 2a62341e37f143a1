"""Which videos a run trains on and which it holds out; built-in scenes are rendered the first time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slotkeeper.config import Config, DataConfig, Length, ScenesConfig, pairs_of
from slotkeeper.data import TruthKind, VideoItem, VideoReader, find_videos, path_or_url, split_folders, split_videos
from slotkeeper.errors import ConfigError, DataError, none_of

_VAL_SEEDS = 1_000_000
"""Held-out scenes have seeds from here on, so that no training set reaches them."""


@dataclass(frozen=True, kw_only=True)
class RunVideos:
    """The videos of a run; none to train on where scenes are endless.

    root: the folder of the training videos, or its address. note: why none is held out although a share was to be, or
    "".
    """

    root: Path | str
    train: list[VideoItem]
    val: list[VideoItem]
    note: str = ""


def find_held_out_scenes(data: DataConfig, scenes: ScenesConfig, *, show_progress: bool = True) -> Path:
    """The folder of the held-out side of some built-in scenes, below `data.path`; rendered where it is missing.

    Raises:
        ConfigError: an unknown family of scenes.
        OutputError: scenes can't be written.
    """
    return _rendered(data, scenes, "val", (), show_progress=show_progress)


def find_run_videos(data: DataConfig, *, truth: Sequence[TruthKind] = (), show_progress: bool = True) -> RunVideos:
    """Find the videos, or render them. A held-out share is the same whatever the run's seed, so that runs compare.

    truth: what videos to train on are rendered with, beside masks; those that are found have it or not.

    Where there are too few videos for a share, or a folder `train` without a `val`, none is held out.

    Raises:
        ConfigError: an unknown family of scenes.
        DataError: a folder is missing or holds no video.
        OutputError: scenes can't be written.
    """
    if data.scenes is not None:
        val = find_held_out_scenes(data, data.scenes, show_progress=show_progress) if data.scenes.num_val else None
        held_out = find_videos(val) if val else []
        if data.scenes.endless:
            return RunVideos(root=data.path, train=[], val=held_out)
        train = _rendered(data, data.scenes, "train", truth, show_progress=show_progress)
        return RunVideos(root=train, train=find_videos(train), val=held_out)
    assert data.train is not None
    root = path_or_url(data.train)
    if data.val is not None:
        return RunVideos(root=root, train=find_videos(root), val=find_videos(data.val))
    if data.val_share == 0 and "val" not in split_folders(root):
        return RunVideos(root=root, train=find_videos(root), val=[])
    train_items = find_videos(root, split="train", val_share=data.val_share)
    val_items = split_videos(root, val_share=data.val_share)["val"]
    note = "" if val_items or data.val_share == 0 else _why_none_held_out(root, train_items)
    return RunVideos(root=root, train=train_items, val=val_items, note=note)


def with_known_lengths(config: Config, items: Sequence[VideoItem]) -> Config:
    """A `clip_length` of "all" becomes the number of frames that the shortest readable video gives, or each scene.

    Raises:
        DataError: no video can be read.
    """
    pairs = pairs_of(config.training.clip_length)
    if all(length != "all" for _, length in pairs):
        return config
    counts = [config.data.scenes.num_frames] if config.data.scenes and config.data.is_endless else []
    problems = []
    for item in items:
        try:
            counts.append(VideoReader(item.video).count_frames())
        except DataError as error:
            problems.append(str(error))
    if not counts:
        raise DataError(none_of(len(items), problems[0]))
    frames = (min(counts) - 1) // config.data.frame_stride + 1
    lengths: list[tuple[int, Length]] = [(start, frames if length == "all" else length) for start, length in pairs]
    return replace(config, training=replace(config.training, clip_length=lengths))


def check_lengths(items: Sequence[VideoItem], config: Config) -> None:
    """Find out now, not when the curriculum gets there, whether any video has the frames that the longest clips need.

    Raises:
        ConfigError: endless scenes haven't.
        DataError: none has, or none can be read.
    """
    longest = max(length for _, length in pairs_of(config.training.clip_length) if length != "all")
    scenes = config.data.scenes
    if scenes is not None and scenes.endless:
        if (longest - 1) * config.data.frame_stride + 1 > scenes.num_frames:
            raise ConfigError(
                f"clips of {longest} with frame_stride {config.data.frame_stride} need more frames than the "
                f"{scenes.num_frames} of data.scenes.num_frames"
            )
        return
    needed = 1 if config.data.short_videos == "loop" else (longest - 1) * config.data.frame_stride + 1
    problems = []
    for item in items:
        try:
            if VideoReader(item.video, on_truncated="keep").count_frames() >= needed:
                return
        except DataError as error:
            problems.append(str(error))
    is_alone = len(items) == 1
    if len(problems) == len(items):
        raise DataError(none_of(len(items), problems[0]))
    which = f"{items[0].video} has not" if is_alone else f"none of {len(items)} videos has"
    raise DataError(
        f"{which} the {needed} frames that clips of {longest} with frame_stride {config.data.frame_stride} need; "
        "lower training.clip_length, or set data.short_videos to 'loop'"
    )


def _why_none_held_out(root: Path | str, train_items: Sequence[VideoItem]) -> str:
    why = "it has train/ but no val/" if train_items[0].video_id.startswith("train/") else "there is only one"
    return f"no video of {root} is held out, since {why}; so there are no scores"


def _rendered(
    data: DataConfig, scenes: ScenesConfig, split: str, truth: Sequence[TruthKind], *, show_progress: bool
) -> Path:
    """The folder of one split; its name tells what it holds, and videos already there are kept."""
    from slotkeeper.scenes.dataset import render_dataset  # deferred: physics is only needed here

    num_videos = scenes.num_train if split == "train" else scenes.num_val
    name = "-".join([scenes.family, f"{scenes.size}px", f"{scenes.num_frames}f", f"seed{scenes.seed}", *truth])
    folder = Path(data.path) / name / f"{split}-{num_videos}"
    is_whole = len(list(folder.glob("[0-9]*"))) >= num_videos
    render_dataset(
        folder,
        family=scenes.family,
        num_videos=num_videos,
        num_frames=scenes.num_frames,
        size=scenes.size,
        seed=scenes.seed * 2 * _VAL_SEEDS + (_VAL_SEEDS if split == "val" else 0),
        truth=("masks", *truth),
        show_progress=show_progress and not is_whole,
    )
    return folder
