"""Videos to features in shards: the index comes last, so that a set that was interrupted is never taken for whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from tqdm import tqdm

from slotkeeper.data.features.layout import HEAD_BYTES, head_of
from slotkeeper.data.fingerprint import content_mark
from slotkeeper.data.folders import find_videos
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.resizing import resize_frames
from slotkeeper.data.shards.archive import MAKING_FOLDER, ShardSet
from slotkeeper.data.shards.feature_facts import FeatureFacts, plain_facts
from slotkeeper.data.shards.finished import keep_finished, open_finished, write_index
from slotkeeper.data.shards.index import FEATURES_FORMAT, Shard, ShardedVideo, ShardIndex
from slotkeeper.data.shards.pieces import Piece, kept_pieces, making, shard_name
from slotkeeper.data.shards.samples import source_state
from slotkeeper.data.shards.tar import TarWriter
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.errors import ConfigError, DataError, OutputError, none_of
from slotkeeper.files import atomic_path

DEFAULT_SHARD_MB = 256
_MEGABYTE = 10**6
_CHUNK_PIXELS = 16 * 224 * 224
"""Of frames that a backbone sees at once."""

Compute = Callable[[Float32[Tensor, "t 3 h w"]], Float[Tensor, "t n e"]]
"""Frames in [0, 1] to what the backbone makes of them, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class MadeFeatures:
    """A whole set. skipped: videos that can't be used."""

    folder: Path
    index: ShardIndex
    skipped: tuple[SkippedVideo, ...]

    @property
    def num_frames(self) -> int:
        """Of all videos together."""
        return sum(video.num_frames for video in self.index.videos)

    @property
    def num_bytes(self) -> int:
        """What the shards take on disk."""
        return sum(shard.num_bytes for shard in self.index.shards)


def make_features(
    source: str | Path,
    out: str | Path,
    *,
    facts: FeatureFacts,
    compute: Compute,
    shard_mb: int = DEFAULT_SHARD_MB,
    show_progress: bool = True,
) -> MadeFeatures:
    """Write what `compute` makes of each frame of all videos into tar shards in `out`, and an index of them last.

    Frames are stretched to the facts' size. Videos that can't be used are left out. What a kill left of an earlier call
    is kept, shard by shard, as far as it is whole and the videos are the same; a finished set is checked and left as it
    is.

    Args:
        source: what `find_videos` takes; ids are those that training will look for.
        out: a new or empty folder, or one where this was interrupted.
        facts: what the features are; they must be so.
        compute: sees a few frames at a time.
        shard_mb: millions of bytes that a shard is to have at most; a larger video has one of its own.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: `shard_mb` is less than 1, or a number doesn't fit the precision.
        DataError: there is no video, or none can be used, or `out` was begun from others.
        OutputError: `out` holds something else or can't be written, or the disk is full.
    """
    if shard_mb < 1:
        raise ConfigError(f"shard_mb must be at least 1, got {shard_mb}")
    items, folder = find_videos(source), Path(out)
    finished = open_finished(folder, "features", FEATURES_FORMAT)
    if finished is not None:
        return _checked(finished, folder, items, facts)
    with making(folder, {"shard_mb": shard_mb, "features": plain_facts(facts)}, FEATURES_FORMAT):
        maker = _Maker(folder, facts, compute, shard_mb * _MEGABYTE)
        with tqdm(total=len(items), desc="computing features", unit="video", disable=not show_progress) as bar:
            maker.make(items, bar)
        if not maker.pieces:
            shutil.rmtree(folder / MAKING_FOLDER, ignore_errors=True)
            raise DataError(none_of(len(items), maker.skipped[0].reason))
        index = ShardIndex(
            shards=tuple(piece.shard for piece in maker.pieces),
            videos=tuple(video for piece in maker.pieces for video in piece.videos),
            splits=(),
            shard_mb=shard_mb,
            features=facts,
        )
        index = write_index(folder, index)
        shutil.rmtree(folder / MAKING_FOLDER, ignore_errors=True)
    return MadeFeatures(folder=folder, index=index, skipped=tuple(maker.skipped))


@dataclass(kw_only=True)
class _Group:
    """What goes into the shard that is being written. tar: None before its first video."""

    tar: TarWriter | None = None
    items: list[VideoItem] = field(default_factory=list)
    videos: list[ShardedVideo] = field(default_factory=list)
    skipped: list[SkippedVideo] = field(default_factory=list)


class _Maker:
    """Fills one shard after the other, video by video; no video's features are in memory as a whole."""

    def __init__(self, folder: Path, facts: FeatureFacts, compute: Compute, max_bytes: int):
        self.pieces: list[Piece] = []
        self.skipped: list[SkippedVideo] = []
        self._folder, self._facts, self._compute, self._max_bytes = folder, facts, compute, max_bytes
        self._draft = folder / MAKING_FOLDER / "video.safetensors"
        self._group = _Group()
        self._num_bytes = 0

    def make(self, items: Sequence[VideoItem], bar: tqdm[NoReturn]) -> None:
        """Go on after what is there already, until all videos are done."""
        by_id = {item.video_id: item for item in items}
        for piece in kept_pieces(self._folder, items):
            self._keep(piece)
            self.skipped += [
                SkippedVideo(video_id=video_id, path=by_id[video_id].video, reason=reason)
                for video_id, reason in piece.skipped
            ]
        first = sum(piece.num_items for piece in self.pieces)
        bar.update(first)
        with ExitStack() as writing:
            for item in items[first:]:
                try:
                    video = self._computed(item)
                except DataError as error:
                    reason = str(error)
                    self._group.skipped.append(SkippedVideo(video_id=item.video_id, path=item.video, reason=reason))
                else:
                    self._add(video, writing)
                self._group.items.append(item)
                bar.set_postfix_str(f"{(self._num_bytes + self._tar_bytes) / _MEGABYTE:.1f} MB", refresh=False)
                bar.update()
            self._close(writing)

    @property
    def _tar_bytes(self) -> int:
        return 0 if self._group.tar is None else self._group.tar.num_bytes

    def _keep(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self._num_bytes += piece.shard.num_bytes

    def _computed(self, item: VideoItem) -> ShardedVideo:
        """Write one video's features into the draft; its place in a shard is not known yet."""
        source = content_mark(item.video)
        reader = VideoReader(item.video)
        num_frames = 0
        try:
            with self._draft.open("wb") as draft:
                draft.write(bytes(HEAD_BYTES))
                for frames in _chunks(reader, self._facts.size):
                    draft.write(self._bits(self._compute(frames), item))
                    num_frames += len(frames)
                draft.seek(0)
                draft.write(head_of(self._facts, num_frames))
        except OSError as error:
            raise OutputError(f"can't write {self._draft}: {error.strerror or error}") from error
        return ShardedVideo(
            video_id=item.video_id,
            shard=0,
            num_frames=num_frames,
            width=reader.info.width,
            height=reader.info.height,
            is_folder=False,
            video=(),
            source=source,
        )

    def _bits(self, features: Float[Tensor, "t n e"], item: VideoItem) -> bytes:
        facts = self._facts
        assert features.shape[1:] == (facts.num_tokens, facts.width), "features have the shape that their facts say"
        kept = features.to(facts.dtype)
        if not kept.isfinite().all():
            raise ConfigError(
                f"the features of {item.video} reach {features.abs().max():g}, which {facts.precision} can't hold"
                + ("; take --precision bf16" if facts.precision == "fp16" else "")
            )
        return kept.contiguous().view(torch.uint16).numpy().astype("<u2").tobytes()

    def _add(self, video: ShardedVideo, writing: ExitStack) -> None:
        """Append the draft to the shard, or to a new one where it has no room."""
        if self._group.tar is not None and self._tar_bytes + self._draft.stat().st_size > self._max_bytes:
            self._close(writing)
        group, number = self._group, len(self.pieces)
        if group.tar is None:
            path = writing.enter_context(atomic_path(self._folder / f"{shard_name(number)}.tar"))
            group.tar = TarWriter(writing.enter_context(path.open("wb")))
        place = sum(len(piece.videos) for piece in self.pieces) + len(group.videos)
        member = group.tar.add(f"{place:09d}.safetensors", self._draft)
        group.videos.append(replace(video, shard=number, video=(member,)))

    def _close(self, writing: ExitStack) -> None:
        """Put the shard in place, then the note that it is there."""
        group, self._group = self._group, _Group()
        self.skipped += group.skipped
        if group.tar is None:
            return
        group.tar.finish()
        writing.close()
        number = len(self.pieces)
        piece = Piece(
            num_items=len(group.items),
            state=source_state(group.items),
            shard=Shard(name=f"{shard_name(number)}.tar", num_bytes=group.tar.num_bytes, sha256=group.tar.sha256),
            videos=tuple(group.videos),
            skipped=tuple((video.video_id, video.reason) for video in group.skipped),
        )
        piece.save(self._folder, number)
        self._keep(piece)


def _chunks(reader: VideoReader, size: tuple[int, int]) -> Iterator[Float32[Tensor, "t 3 h w"]]:
    """Some frames at a time, stretched to `size`, as clips for training are."""
    per_chunk = max(1, _CHUNK_PIXELS // (size[0] * size[1]))
    frames = iter(reader)
    while chunk := [resize_frames(frame.pixels[None], size) for frame in islice(frames, per_chunk)]:
        pixels = np.ascontiguousarray(np.concatenate(chunk).transpose(0, 3, 1, 2))
        yield torch.from_numpy(np.divide(pixels, np.float32(255.0), dtype=np.float32))


def _checked(finished: ShardSet, folder: Path, items: Sequence[VideoItem], facts: FeatureFacts) -> MadeFeatures:
    """A set that is there already, if it is what would be made and all its shards are whole."""
    if finished.index.features != facts:
        raise OutputError(
            f"{folder} already holds features of another encoder, size or precision; choose another folder"
        )
    known = {video.video_id: video.source for video in finished.index.videos}
    skipped = []
    for item in items:
        try:
            is_same = known.pop(item.video_id, None) == content_mark(item.video)
            reason = "" if is_same else _problem(item)
        except DataError as error:
            reason = str(error)
        if reason:
            skipped.append(SkippedVideo(video_id=item.video_id, path=item.video, reason=reason))
        elif not is_same:
            raise OutputError(f"{folder} already holds features of other videos; choose another folder")
    if known:
        raise OutputError(f"{folder} already holds features of other videos; choose another folder")
    keep_finished(finished, folder)
    return MadeFeatures(folder=folder, index=finished.index, skipped=tuple(skipped))


def _problem(item: VideoItem) -> str:
    """Why a video can't be used, or an empty text."""
    try:
        for _ in VideoReader(item.video):
            pass
    except DataError as error:
        return str(error)
    return ""
