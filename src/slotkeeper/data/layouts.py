"""Which videos, which masks and which other truth lie in a folder on disk.

Known layouts, alone or mixed, down to three folders deep:

- `NAME.mp4` (any video suffix), masks in `NAME.masks.npz` or `NAME_masks/*.png`
- `NAME/video.mp4` (any video suffix), masks in `NAME/masks.npz` or `NAME/masks/*.png`
- `NAME/*.jpg|png` or `NAME/frames/*.jpg|png`, masks as before or beside the folder
- `train/` and `val/` with any of these inside

Flow and depth lie where an npz of masks would: `NAME.truth.npz` or `NAME/truth.npz`. Hidden files and what
`slotkeeper track` wrote are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from slotkeeper.data.image_folder import list_images, natural_key
from slotkeeper.data.media import MediaPath
from slotkeeper.data.shards import why_not_whole
from slotkeeper.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif", ".mpg", ".mpeg", ".wmv", ".ts"})
Split = Literal["train", "val"]
SPLITS: tuple[Split, Split] = ("train", "val")
_MAX_DEPTH = 3


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


def videos_on_disk(path: Path) -> list[VideoItem]:
    """The videos of a folder, or the one that `path` is, sorted by id.

    Raises:
        DataError: the path is missing, can't be read, or holds no video.
    """
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


def split_folders_on_disk(root: Path) -> list[Split]:
    """`train/` and `val/` where they hold videos; a folder named train may also be one video of a train."""
    try:
        names: list[Split] = [name for name in SPLITS if (root / name).is_dir()]
        return names if len(names) == 2 else [name for name in names if _folder_item(root / name, name) is None]
    except PermissionError as error:
        raise DataError(f"can't read the folder {error.filename}: permission denied") from error


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
