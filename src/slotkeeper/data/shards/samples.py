"""One video on its way into a shard: decoded once to see that it is whole, and named as WebDataset names files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slotkeeper.data.derived import DerivedFrames
from slotkeeper.data.image_folder import media_files
from slotkeeper.data.layouts import VIDEO_SUFFIXES, VideoItem
from slotkeeper.data.media import MediaPath
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.segments import check_segments_fit, load_segments
from slotkeeper.data.shards.index import ShardedVideo
from slotkeeper.data.shards.members import ShardFile
from slotkeeper.data.shards.tar import TarWriter, content_bytes
from slotkeeper.data.truth import check_truth
from slotkeeper.errors import DataError

_OTHER_SUFFIX = ".video"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A whole video. video, masks, truth, facts: contents of the files, to be written in this order."""

    video_id: str
    num_frames: int
    width: int
    height: int
    is_folder: bool
    video: tuple[MediaPath, ...]
    masks: MediaPath | bytes | None
    truth: MediaPath | None
    facts: bytes

    @property
    def num_bytes(self) -> int:
        """What it takes in a shard, headers and fillings included.

        Raises:
            DataError: a file is gone.
        """
        contents = [*self.video, self.facts, *(part for part in (self.masks, self.truth) if part is not None)]
        return sum(tarfile.BLOCKSIZE * (1 - -content_bytes(content) // tarfile.BLOCKSIZE) for content in contents)

    def write(self, tar: TarWriter, *, key: str, shard: int) -> ShardedVideo:
        """Append its files, all named by `key` up to their first dot.

        Raises:
            DataError, OSError: as `TarWriter.add`.
        """
        video = tuple(
            tar.add(f"{key}{_suffix(file, place, self.is_folder)}", file) for place, file in enumerate(self.video)
        )
        masks = None if self.masks is None else tar.add(f"{key}.masks.npz", self.masks)
        truth = None if self.truth is None else tar.add(f"{key}.truth.npz", self.truth)
        tar.add(f"{key}.json", self.facts)
        return ShardedVideo(
            video_id=self.video_id,
            shard=shard,
            num_frames=self.num_frames,
            width=self.width,
            height=self.height,
            is_folder=self.is_folder,
            video=video,
            masks=masks,
            truth=truth,
        )


def prepare_sample(item: VideoItem) -> Sample:
    """Decode a video from end to end, and compare masks, flow and depth with it.

    A folder of masks becomes the bytes of an npz.

    Raises:
        DataError: the video is broken or ends too soon, or its masks, flow or depth can't be read or don't fit; or its
            files alone don't say how they become frames.
    """
    if isinstance(item.video, DerivedFrames):
        raise DataError(f"{item.video} can't be packed as it lies: convert its data set with 'slotkeeper data convert'")
    reader = VideoReader(item.video)
    info = reader.info
    num_frames = sum(1 for _ in reader)
    masks: MediaPath | bytes | None = item.masks
    if item.masks is not None:
        segments = load_segments(item.masks)
        check_segments_fit(
            segments.shape, item.masks, num_frames=num_frames, height=info.height, width=info.width, video=item.video
        )
        if item.masks.is_dir():
            packed = io.BytesIO()
            np.savez_compressed(packed, masks=segments)
            masks = packed.getvalue()
    if item.truth is not None:
        check_truth(item.truth, num_frames=num_frames, height=info.height, width=info.width, video=item.video)
    facts = {"id": item.video_id, "frames": num_frames, "width": info.width, "height": info.height}
    is_folder = item.video.is_dir()
    return Sample(
        video_id=item.video_id,
        num_frames=num_frames,
        width=info.width,
        height=info.height,
        is_folder=is_folder,
        video=tuple(media_files(item.video)),
        masks=masks,
        truth=item.truth,
        facts=json.dumps(facts).encode(),
    )


def source_state(items: Sequence[VideoItem]) -> str:
    """A hash of names, sizes and times of the files of some videos, by which a change of them is noticed."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item.video_id).encode())
        for part in (item.video, item.masks, item.truth):
            for file in media_files(part) if part is not None else ():
                digest.update(json.dumps(_state(file)).encode())
    return digest.hexdigest()


def num_video_bytes(item: VideoItem) -> int:
    """Length of the video's file, or of all its pictures together.

    Raises:
        DataError: a file is gone.
    """
    return sum(content_bytes(file) for file in media_files(item.video))


def _state(file: MediaPath) -> list[object]:
    if isinstance(file, ShardFile):
        return [file.label, *file.member.checksums]
    if not isinstance(file, Path) or not file.exists():
        return [file.name]
    status = file.stat()
    return [str(file), status.st_size, status.st_mtime_ns]


def _suffix(file: MediaPath, place: int, is_folder: bool) -> str:
    suffix = file.suffix.lower()
    if is_folder:
        return f".frame-{place:06d}{suffix}"
    return suffix if suffix in VIDEO_SUFFIXES else _OTHER_SUFFIX
