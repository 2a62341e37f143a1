"""A folder of videos to shards: the index comes last, so that a set that was interrupted is never taken for whole."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from slotkeeper.data.folders import find_videos, split_folders
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.shards.archive import MAKING_FOLDER, ShardSet
from slotkeeper.data.shards.finished import keep_finished, open_finished, write_index
from slotkeeper.data.shards.index import Shard, ShardIndex
from slotkeeper.data.shards.pieces import Piece, kept_pieces, making, shard_name
from slotkeeper.data.shards.samples import Sample, num_video_bytes, prepare_sample, source_state
from slotkeeper.data.shards.tar import TarWriter
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.errors import ConfigError, DataError, OutputError, none_of
from slotkeeper.files import atomic_path

DEFAULT_SHARD_MB = 256
_MEGABYTE = 10**6


@dataclass(frozen=True, kw_only=True)
class MadeShards:
    """A whole set. skipped: videos that were left out, since they or their masks can't be used."""

    folder: Path
    index: ShardIndex
    skipped: tuple[SkippedVideo, ...]


@dataclass(kw_only=True)
class _Group:
    """Consecutive videos that go into one shard, and those among them that are left out."""

    samples: list[Sample] = field(default_factory=list)
    skipped: list[SkippedVideo] = field(default_factory=list)

    @property
    def num_items(self) -> int:
        return len(self.samples) + len(self.skipped)


def make_shards(
    source: str | Path,
    out: str | Path,
    *,
    shard_mb: int = DEFAULT_SHARD_MB,
    num_threads: int | None = None,
    show_progress: bool = True,
) -> MadeShards:
    """Write all videos of `source` with masks, flow and depth into tar shards in `out`, and an index of them last.

    Every video is decoded once; those that can't be used, or whose masks or truth can't, are left out. The bytes of
    video files and pictures are kept. The same videos give the same bytes. What a kill left of an earlier call is kept
    as far as it is whole and the videos are the same; a finished set is checked and left as it is.

    Args:
        source: what `find_videos` takes, also other shards.
        out: a new or empty folder, or one where this was interrupted.
        shard_mb: millions of bytes that a shard is to have at most; a larger video has one of its own.
        num_threads: videos decoded side by side; as many as there are cores if left out.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: `shard_mb` is less than 1.
        DataError: there is no video, or none can be used, or `out` was begun from others.
        OutputError: `out` holds something else or can't be written, or the disk is full.
    """
    if shard_mb < 1:
        raise ConfigError(f"shard_mb must be at least 1, got {shard_mb}")
    items, splits, folder = find_videos(source), split_folders(source), Path(out)
    finished = open_finished(folder, "shards")
    if finished is not None:
        return _checked(finished, folder, items, shard_mb)
    with making(folder, {"shard_mb": shard_mb}):
        pieces, skipped = _make_pieces(folder, items, shard_mb, num_threads, show_progress)
        if not pieces:
            shutil.rmtree(folder / MAKING_FOLDER, ignore_errors=True)
            raise DataError(none_of(len(items), skipped[0].reason))
        index = ShardIndex(
            shards=tuple(piece.shard for piece in pieces),
            videos=tuple(video for piece in pieces for video in piece.videos),
            splits=tuple(splits),
            shard_mb=shard_mb,
        )
        index = write_index(folder, index)
        shutil.rmtree(folder / MAKING_FOLDER, ignore_errors=True)
    return MadeShards(folder=folder, index=index, skipped=tuple(skipped))


def _checked(finished: ShardSet, folder: Path, items: Sequence[VideoItem], shard_mb: int) -> MadeShards:
    """A set that is there already, if it is what would be made and all its shards are whole."""
    known = {video.video_id: video for video in finished.index.videos}
    outcomes = [_prepare_or_skip(item) for item in items if item.video_id not in known]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, SkippedVideo)]
    present = {item.video_id: item for item in items if item.video_id in known}
    sizes = {name: num_video_bytes(item) for name, item in present.items()}
    is_same = sizes == {name: sum(file.num_bytes for file in video.video) for name, video in known.items()}
    is_same = is_same and all((item.truth is None) == (known[name].truth is None) for name, item in present.items())
    if not is_same or len(skipped) < len(outcomes) or finished.index.shard_mb != shard_mb:
        raise OutputError(f"{folder} already holds shards of other videos or another size; choose another folder")
    keep_finished(finished, folder)
    return MadeShards(folder=folder, index=finished.index, skipped=tuple(skipped))


def _make_pieces(
    folder: Path, items: Sequence[VideoItem], shard_mb: int, num_threads: int | None, show_progress: bool
) -> tuple[list[Piece], list[SkippedVideo]]:
    """All shards in order, those kept from an interrupted call first, and all videos that were left out."""
    pieces: list[Piece] = []
    skipped: list[SkippedVideo] = []
    by_id = {item.video_id: item for item in items}
    first = 0
    with tqdm(total=len(items), desc="writing shards", unit="video", disable=not show_progress) as bar:
        for piece in kept_pieces(folder, items):
            pieces.append(piece)
            skipped += [
                SkippedVideo(video_id=video_id, path=by_id[video_id].video, reason=reason)
                for video_id, reason in piece.skipped
            ]
            first += piece.num_items
            bar.update(piece.num_items)
        num_written = sum(len(piece.videos) for piece in pieces)
        for group in _groups(_prepared(items[first:], num_threads), shard_mb * _MEGABYTE):
            skipped += group.skipped
            if group.samples:
                part = items[first : first + group.num_items]
                pieces.append(_write_piece(folder, len(pieces), num_written, group, source_state(part)))
            first, num_written = first + group.num_items, num_written + len(group.samples)
            bar.update(group.num_items)
    return pieces, skipped


def _prepared(items: Sequence[VideoItem], num_threads: int | None) -> Iterator[Sample | SkippedVideo]:
    """Each video in order, some of them decoded ahead."""
    workers = num_threads or min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(max_workers=workers)
    pending: deque[Future[Sample | SkippedVideo]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(_prepare_or_skip, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_or_skip(item: VideoItem) -> Sample | SkippedVideo:
    try:
        return prepare_sample(item)
    except DataError as error:
        return SkippedVideo(video_id=item.video_id, path=item.video, reason=str(error))


def _groups(outcomes: Iterator[Sample | SkippedVideo], max_bytes: int) -> Iterator[_Group]:
    """Fill shards in order; one that is not empty is closed before the video that it has no room for."""
    group, group_bytes = _Group(), 0
    for outcome in outcomes:
        if isinstance(outcome, SkippedVideo):
            group.skipped.append(outcome)
            continue
        size = outcome.num_bytes
        if group.samples and group_bytes + size > max_bytes:
            yield group
            group, group_bytes = _Group(), 0
        group.samples.append(outcome)
        group_bytes += size
    if group.num_items:
        yield group


def _write_piece(folder: Path, number: int, num_before: int, group: _Group, state: str) -> Piece:
    """One shard, whole or absent, then the note that it is there."""
    path = folder / f"{shard_name(number)}.tar"
    with atomic_path(path) as partial, partial.open("wb") as handle:
        tar = TarWriter(handle)
        videos = tuple(
            sample.write(tar, key=f"{num_before + place:09d}", shard=number)
            for place, sample in enumerate(group.samples)
        )
        tar.finish()
    piece = Piece(
        num_items=group.num_items,
        state=state,
        shard=Shard(name=path.name, num_bytes=tar.num_bytes, sha256=tar.sha256),
        videos=videos,
        skipped=tuple((video.video_id, video.reason) for video in group.skipped),
    )
    piece.save(folder, number)
    return piece
