"""Which videos a data set has, and which of them are held out.

A data set is a folder of videos, see `slotkeeper.data.layouts`, a folder of shards or the address of one in an object
store, or `NAME:FOLDER`, a public one that needs no conversion (`davis17:DAVIS`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slotkeeper.data.conversion.record import why_unfinished
from slotkeeper.data.image_folder import natural_key
from slotkeeper.data.layouts import SPLITS, Split, VideoItem, split_folders_on_disk, videos_on_disk
from slotkeeper.data.media import path_or_url
from slotkeeper.data.shards import ShardSet, open_shards
from slotkeeper.data.sources.names import SOURCES, find_source
from slotkeeper.errors import DataError


def find_videos(
    path: str | Path, *, split: Split | None = None, val_share: float = 0.1, seed: int = 0
) -> list[VideoItem]:
    """List the videos of a folder (or the one that `path` is), sorted by id.

    path: also a folder of shards, or the address of one, such as s3://bucket/videos, or NAME:FOLDER for a public data
    set where it lies. split: None for all; else one side of `split_videos`.

    Raises:
        DataError: the path is missing, holds no video, or has none for this split.
    """
    place = _Place.of(path)
    if split is None:
        return place.videos()
    chosen = split_videos(path, val_share=val_share, seed=seed)[split]
    if not chosen:
        raise DataError(f"no video for split '{split}' in {path}: {_why_empty(place, split, val_share)}")
    return chosen


def split_videos(path: str | Path, *, val_share: float = 0.1, seed: int = 0) -> dict[Split, list[VideoItem]]:
    """Part the videos of a folder in those to train on and those held out; either side may be empty.

    With sub-folders `train/` or `val/` these decide; otherwise each video falls by a hash of `seed` and its id, so that
    it stays on its side when others are added. With a `val_share` between 0 and 1, of two or more videos either side
    gets at least one, and a single video is for training.

    Raises:
        DataError: the path is missing, or holds no video.
    """
    if not 0.0 <= val_share <= 1.0:
        raise DataError(f"val_share must lie between 0 and 1, got {val_share}")
    place = _Place.of(path)
    items = place.videos()
    if place.splits():
        return {split: [item for item in items if item.video_id.startswith(f"{split}/")] for split in SPLITS}
    is_val = _held_out_ids([item.video_id for item in items], val_share, seed)
    return {split: [item for item in items if (item.video_id in is_val) == (split == "val")] for split in SPLITS}


def split_folders(path: str | Path) -> list[Split]:
    """Those of `train` and `val` that are folders of a data set, so that they decide what is held out.

    Raises:
        DataError: the index of shards is damaged.
    """
    return _Place.of(path).splits()


def names_source(path: Path) -> bool:
    """Whether a path is NAME:FOLDER, a public data set where it lies, and nothing on disk is called so."""
    name, colon, _ = str(path).partition(":")
    return bool(colon) and name in SOURCES and not path.exists()


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where videos are looked for: a path or an address, its shards if it has any, or a public data set's name."""

    root: Path | str
    shards: ShardSet | None
    source: str | None = None

    @classmethod
    def of(cls, path: str | Path) -> _Place:
        root = path_or_url(path)
        if isinstance(root, Path):
            if names_source(root):
                name, _, folder = str(root).partition(":")
                return cls(root=Path(folder), shards=None, source=name)
            reason = why_unfinished(root)
            if reason is not None:
                raise DataError(f"{root} can't be used: {reason}")
        is_sharded = isinstance(root, str) or root.is_dir()
        return cls(root=root, shards=open_shards(root) if is_sharded else None)

    def videos(self) -> list[VideoItem]:
        return list(self._items)

    @cached_property  # the lists of a public data set may be long
    def _items(self) -> list[VideoItem]:
        if self.source is not None:
            return _source_items(self.source, str(self.root))
        if self.shards is not None:
            return _sharded_items(self.shards)
        return videos_on_disk(Path(self.root))

    def splits(self) -> list[Split]:
        if self.source is not None:
            sides = {item.video_id.partition("/")[0] for item in self._items if "/" in item.video_id}
            return [split for split in SPLITS if split in sides]
        if self.shards is not None:
            return [split for split in SPLITS if split in self.shards.index.splits]
        root = Path(self.root)
        return split_folders_on_disk(root) if root.is_dir() else []


def _source_items(name: str, folder: str) -> list[VideoItem]:
    """The videos of a public data set where they lie, by the ids that converting it would give them."""
    items: dict[str, VideoItem] = {}
    for video in find_source(name)(folder).videos():
        if video.video is None:
            raise DataError(f"{name} can't be read where it lies: convert it with 'slotkeeper data convert', {folder}")
        item = VideoItem(video_id=video.path_id(), video=video.video, masks=video.masks)
        if item.video_id in items:
            raise DataError(f"{video.place}: another video is called {item.video_id} too")
        items[item.video_id] = item
    if not items:
        raise DataError(f"no video of {name} in {folder}")
    return sorted(items.values(), key=lambda item: natural_key(item.video_id))


def _sharded_items(shards: ShardSet) -> list[VideoItem]:
    items = [
        VideoItem(
            video_id=entry.video_id, video=shards.video(entry), masks=shards.masks(entry), truth=shards.truth(entry)
        )
        for entry in shards.index.videos
    ]
    return sorted(items, key=lambda item: natural_key(item.video_id))


def _why_empty(place: _Place, split: Split, val_share: float) -> str:
    splits = place.splits()
    if splits:
        return f"expected them in {split}/, found {' and '.join(f'{name}/' for name in splits)}"
    return f"{len(place.videos())} found, val_share is {val_share}"


def _held_out_ids(video_ids: list[str], val_share: float, seed: int) -> set[str]:
    position = {video_id: _hash_share(video_id, seed) for video_id in video_ids}
    ranked = sorted(position, key=lambda video_id: position[video_id])
    held_out = {video_id for video_id in ranked if position[video_id] < val_share}
    if 0.0 < val_share < 1.0:
        held_out = (held_out | set(ranked[:1])) - {ranked[-1]}
    return held_out


def _hash_share(video_id: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{video_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
