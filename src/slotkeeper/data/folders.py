"""Which videos, which masks and which other truth lie in a folder.

Known layouts, alone or mixed, down to three folders deep:

- `NAME.mp4` (any video suffix), masks in `NAME.masks.npz` or `NAME_masks/*.png`
- `NAME/video.mp4` (any video suffix), masks in `NAME/masks.npz` or `NAME/masks/*.png`
- `NAME/*.jpg|png` or `NAME/frames/*.jpg|png`, masks as before or beside the folder
- `train/` and `val/` with any of these inside

Flow and depth lie where an npz of masks would: `NAME.truth.npz` or `NAME/truth.npz`.

Hidden files and what `slotkeeper track` wrote are left out. In place of a folder there may be one of shards, or the
address of one in an object store, or `NAME:FOLDER` for a public data set that needs no conversion (`davis17:DAVIS`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from slotkeeper.data.conversion.record import why_unfinished
from slotkeeper.data.image_folder import list_images, natural_key
from slotkeeper.data.media import MediaPath, path_or_url
from slotkeeper.data.shards import ShardSet, open_shards, why_not_whole
from slotkeeper.data.sources.names import SOURCES, find_source
from slotkeeper.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".wmv", ".ts"})
Split = Literal["train", "val"]
_MAX_DEPTH = 3
_SPLITS: tuple[Split, Split] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class VideoItem:
    """One video, on disk, in a shard, or in a public data set where it lies.

    video_id: path below the data set's root without suffix, with "/". video: a file, or a folder of frames. masks: an
    npz file, a folder of PNG files, or `DerivedMasks`; None without. truth: an npz file of flow, depth and the like;
    None without.
    """

    video_id: str
    video: MediaPath
    masks: MediaPath | None = None
    truth: MediaPath | None = None


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
        return {split: [item for item in items if item.video_id.startswith(f"{split}/")] for split in _SPLITS}
    is_val = _held_out_ids([item.video_id for item in items], val_share, seed)
    return {split: [item for item in items if (item.video_id in is_val) == (split == "val")] for split in _SPLITS}


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


def is_folder_of_frames(folder: Path) -> bool:
    """Whether pictures lie directly in a folder, and no video files do.

    Raises:
        DataError: it can't be read.
    """
    try:
        has_files = any(entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file() for entry in folder.iterdir())
        return not has_files and bool(list_images(folder))
    except PermissionError as error:
        raise DataError(f"can't read the folder {error.filename}: permission denied") from error


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
        return _all_videos(Path(self.root))

    def splits(self) -> list[Split]:
        if self.source is not None:
            sides = {item.video_id.partition("/")[0] for item in self._items if "/" in item.video_id}
            return [split for split in _SPLITS if split in sides]
        if self.shards is not None:
            return [split for split in _SPLITS if split in self.shards.index.splits]
        root = Path(self.root)
        return _split_folders(root) if root.is_dir() else []


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


def _all_videos(path: Path) -> list[VideoItem]:
    if not path.exists():
        raise DataError(f"no such file or folder: {path}")
    if path.is_file() and path.suffix.lower() == ".tar":
        raise DataError(f"{path} is a tar file; shards are given by their folder, which also holds their index")
    items = [_file_item(path, path.stem, is_alone=True)] if path.is_file() else _list_root(path)
    if not items:
        suffixes = " ".join(sorted(suffix[1:] for suffix in VIDEO_SUFFIXES))
        why = why_not_whole(path) or f"looked for files ({suffixes}) and folders of jpg or png frames"
        raise DataError(f"no video in {path}: {why}")
    return items


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


def _split_folders(root: Path) -> list[Split]:
    """`train/` and `val/` where they hold videos; a folder named train may also be one video of a train."""
    try:
        names: list[Split] = [name for name in _SPLITS if (root / name).is_dir()]
        return names if len(names) == 2 else [name for name in names if _folder_item(root / name, name) is None]
    except PermissionError as error:
        raise DataError(f"can't read the folder {error.filename}: permission denied") from error


def _list_root(root: Path) -> list[VideoItem]:
    try:
        alone = _folder_item(root, root.resolve().name)
        items = [alone] if alone is not None else list(_walk(root, prefix="", depth=0))
        if not items and list_images(root):  # pictures beside folders that hold no video
            items = [_item(root, root.resolve().name, inside=root)]
    except PermissionError as error:
        raise DataError(f"can't read the folder {error.filename}: permission denied") from error
    return sorted(items, key=lambda item: natural_key(item.video_id))


def _walk(folder: Path, *, prefix: str, depth: int) -> Iterator[VideoItem]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()]
    stems = Counter(file.stem for file in files)
    for file in files:
        name = file.stem if stems[file.stem] == 1 else file.name
        yield _file_item(file, prefix + name, is_alone=len(files) == 1)
    for entry in entries:
        if not entry.is_dir() or entry.name == "masks" or entry.name.endswith("_masks") or _is_result(entry):
            continue
        item = _folder_item(entry, prefix + entry.name)
        if item is not None:
            yield item
        elif depth < _MAX_DEPTH:
            inside = list(_walk(entry, prefix=f"{prefix}{entry.name}/", depth=depth + 1))
            if not inside and list_images(entry):
                inside = [_item(entry, prefix + entry.name, beside=entry)]
            yield from inside


def _folder_item(folder: Path, video_id: str) -> VideoItem | None:
    """The one video that this folder stands for, or None if it is a folder of videos."""
    files = [entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()]
    named = [file for file in files if file.stem == "video"]
    if named:
        return _item(named[0], video_id, inside=folder, beside=named[0])
    if files:
        return None
    frames = folder / "frames"
    if frames.is_dir() and list_images(frames):
        return _item(frames, video_id, inside=folder, beside=folder)
    has_folders = any(entry.is_dir() and entry.name != "masks" for entry in folder.iterdir())
    if not has_folders and list_images(folder):
        return _item(folder, video_id, inside=folder, beside=folder)
    return None


def _is_result(folder: Path) -> bool:
    """Whether `slotkeeper track` wrote this folder: its overlay is no video of the data set."""
    return (folder / "overlay.mp4").is_file() and (folder / "tracks.json").is_file()


def _file_item(file: Path, video_id: str, *, is_alone: bool) -> VideoItem:
    """A video file; `masks.npz` in its folder is its own only where no other video lies there."""
    item = _item(file, video_id, beside=file)
    is_own = file.stem == "video" or (is_alone and _num_videos(file.parent) == 1)
    if not is_own or (item.masks is not None and item.truth is not None):
        return item
    inside = _item(file, video_id, inside=file.parent)
    return replace(item, masks=item.masks or inside.masks, truth=item.truth or inside.truth)


def _num_videos(folder: Path) -> int:
    return sum(entry.suffix.lower() in VIDEO_SUFFIXES for entry in folder.iterdir())


def _item(video: Path, video_id: str, *, inside: Path | None = None, beside: Path | None = None) -> VideoItem:
    """A video with what lies `inside` its folder or, failing that, `beside` its file or folder."""
    masks: list[Path] = []
    truth: list[Path] = []
    if inside is not None:
        masks += [inside / "masks.npz", inside / "masks"]
        truth += [inside / "truth.npz"]
    if beside is not None:
        name = beside.name if beside.is_dir() else beside.stem
        masks += [beside.with_name(f"{name}.masks.npz"), beside.with_name(f"{name}_masks")]
        truth += [beside.with_name(f"{name}.truth.npz")]
    return VideoItem(video_id=video_id, video=video, masks=_first(masks), truth=_first(truth))


def _first(candidates: list[Path]) -> Path | None:
    return next((path for path in candidates if path.exists()), None)
