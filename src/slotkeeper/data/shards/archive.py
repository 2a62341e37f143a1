"""A whole set of shards: its videos, and whether its bytes are those that were written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slotkeeper.data.media import MediaPath, is_url
from slotkeeper.data.shards.index import (
    FEATURES_FORMAT,
    FORMAT,
    INDEX_NAME,
    Member,
    Shard,
    ShardedVideo,
    ShardIndex,
    is_index,
    parse_index,
)
from slotkeeper.data.shards.members import ShardFile, ShardFolder
from slotkeeper.data.shards.pages import Pages
from slotkeeper.data.shards.storage import LocalStorage, Storage, UrlStorage
from slotkeeper.errors import DataError

MAKING_FOLDER = ".making"
"""Stands beside shards that are not all written yet."""
_CHUNK_BYTES = 2**23


@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """Shards with their index."""

    pages: Pages
    index: ShardIndex

    @property
    def storage(self) -> Storage:
        """Where the shards lie."""
        return self.pages.storage

    def video(self, entry: ShardedVideo) -> MediaPath:
        """The video file, or the folder of pictures."""
        shard = self.index.shards[entry.shard].name
        first = entry.video[0]
        if not entry.is_folder:
            suffix = first.name[first.name.rfind(".") :]
            return self._file(shard, entry.video_id.removesuffix(suffix) + suffix, first)
        files = tuple(  # KEY.frame-000000.png is called frame-000000.png
            self._file(shard, f"{entry.video_id}/{member.name.partition('.')[2]}", member) for member in entry.video
        )
        return ShardFolder(place=self.storage.place(shard), label=entry.video_id, files=files)

    def masks(self, entry: ShardedVideo) -> MediaPath | None:
        """The npz file of masks, if there is one."""
        if entry.masks is None:
            return None
        return self._file(self.index.shards[entry.shard].name, f"{entry.video_id}.masks.npz", entry.masks)

    def truth(self, entry: ShardedVideo) -> MediaPath | None:
        """The npz file of flow, depth and the like, if there is one."""
        if entry.truth is None:
            return None
        return self._file(self.index.shards[entry.shard].name, f"{entry.video_id}.truth.npz", entry.truth)

    def features(self, entry: ShardedVideo) -> ShardFile:
        """The file of features, in a set of these."""
        return self._file(self.index.shards[entry.shard].name, f"{entry.video_id}.safetensors", entry.video[0])

    def _file(self, shard: str, label: str, member: Member) -> ShardFile:
        return ShardFile(pages=self.pages, shard=shard, label=label, member=member, block_bytes=self.index.block_bytes)


def open_shards(path: Path | str, form: str = FORMAT) -> ShardSet | None:
    """The shards in a folder, or None where it is something else; an address (text with ://) must be one of shards.

    form: of what they hold, as in an index.

    Raises:
        DataError: the index is damaged or points where it may not, or an address can't be read or has none.
    """
    storage: Storage = (
        UrlStorage(url=path) if isinstance(path, str) and is_url(path) else LocalStorage(folder=Path(path))
    )
    try:
        content = storage.read(INDEX_NAME, 0, None)
    except FileNotFoundError as error:
        if isinstance(storage, LocalStorage):
            return None
        action = "shard" if form == FORMAT else "features"
        raise DataError(
            f"{storage} has no {INDEX_NAME}, which whole shards of 'slotkeeper data {action}' have"
        ) from error
    text = content.decode("utf-8", errors="replace")
    if isinstance(storage, LocalStorage) and not is_index(text, form):
        return None
    return ShardSet(pages=Pages(storage), index=parse_index(text, storage.place(INDEX_NAME), form))


def shard_problem(storage: Storage, shard: Shard) -> str | None:
    """Read a shard from end to end; a sentence on what is wrong with it, or None."""
    place = storage.place(shard.name)
    try:
        num_bytes = storage.num_bytes(shard.name)
        if num_bytes != shard.num_bytes:
            return f"{place} has {num_bytes} bytes, but its index says {shard.num_bytes}"
        digest = hashlib.sha256()
        for start in range(0, num_bytes, _CHUNK_BYTES):
            digest.update(storage.read(shard.name, start, min(start + _CHUNK_BYTES, num_bytes)))
    except FileNotFoundError:
        return f"{place} is missing"
    except DataError as error:
        return str(error)
    if digest.hexdigest() != shard.sha256:
        return f"{place} is damaged: its SHA-256 is not the one of its index"
    return None


def why_not_whole(folder: Path) -> str | None:
    """Why a folder with tar files is no set of videos, in words that follow its name; None if it has none."""
    if open_shards(folder, FEATURES_FORMAT) is not None:
        return "it holds features of videos, for data.features"
    if (folder / MAKING_FOLDER).is_dir():
        return "its shards are not all written: the same 'slotkeeper data shard' goes on where it stopped"
    if any(_tar_files(folder)):
        return f"it has tar files, but no {INDEX_NAME} that tells what is in them; 'slotkeeper data shard' writes both"
    return None


def _tar_files(folder: Path) -> Iterator[Path]:
    return folder.glob("*.tar")
