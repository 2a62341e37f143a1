"""Videos in memory, already at the model's size, as bytes; what doesn't fit is read from disk clip by clip."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8, UInt16
from tqdm import tqdm

from slotkeeper.data.companions import Companions
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.reader import VideoFrame, VideoReader
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.stored import StoredFrames
from slotkeeper.errors import DataError

_CHUNK_BYTES = 16 * 2**20
_MAX_FRAMES_ON_DEMAND = 1024
"""Longer videos are decoded as a whole only by `preload`, not while a batch waits for one clip of them."""


class VideoStore:
    """The videos of a data set by their place in `items`; each is decoded and resized once, as far as memory allows.

    Reading a video that can't be used raises DataError (VideoError); it is then listed once in `skipped`. All methods
    may be called by several threads.

    Args:
        items: the videos.
        companions: what is read beside frames, and the stored size; a video where one doesn't fit is unusable.
        cache_bytes: bound on the memory for decoded videos. Features are read from their shards each time.
    """

    def __init__(self, items: Sequence[VideoItem], *, companions: Companions, cache_bytes: int) -> None:
        self.items = tuple(items)
        self.skipped: list[SkippedVideo] = []
        self._companions = companions
        self._framing = companions.framing
        self._cache_bytes = cache_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()
        self._place_locks = [threading.Lock() for _ in self.items]
        self._stored: dict[int, StoredFrames] = {}
        self._readers: dict[int, VideoReader] = {}
        self._lengths: dict[int, int] = {}
        self._failures: dict[int, DataError] = {}

    @property
    def num_cached(self) -> int:
        """Videos that are wholly in memory."""
        return len(self._stored)

    def preload(self, *, num_threads: int | None = None, progress: bool = False) -> None:
        """Decode all videos that fit into memory, several at a time. progress: show a bar on stderr."""
        workers = num_threads or min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(max_workers=workers) as pool:
            results = pool.map(self._preload_one, range(len(self.items)))
            for _ in tqdm(results, total=len(self.items), desc="reading videos", unit="video", disable=not progress):
                pass

    def length(self, place: int) -> int:
        """Number of frames.

        Raises:
            DataError: the video is broken, or what comes with it doesn't fit.
        """
        known = self._failures.get(place)
        if known is not None:
            raise known
        if place not in self._lengths:
            self._prepare(place, max_frames=_MAX_FRAMES_ON_DEMAND)
        return self._lengths[place]

    def read(self, place: int, indices: Sequence[int]) -> StoredFrames:
        """Frames at `indices`, which may repeat and go backwards; `length` comes first.

        Raises:
            DataError: the video is broken, or its features are.
        """
        wanted = self._features(place, indices)
        stored = self._stored.get(place)
        if stored is None:
            distinct = sorted(set(indices))
            stored = self._read_uncached(place, distinct)
            rank = {index: rank for rank, index in enumerate(distinct)}
            indices = [rank[index] for index in indices]
        taken = stored.taken(np.asarray(indices))
        return taken if wanted is None else replace(taken, features=wanted)

    def _note(self, place: int, reason: str) -> None:
        item = self.items[place]
        if all(known.video_id != item.video_id for known in self.skipped):
            self.skipped.append(SkippedVideo(video_id=item.video_id, path=item.video, reason=reason))

    def _prepare(self, place: int, *, max_frames: int | None) -> None:
        """Cache the video or at least find its length; what fails once fails for good, without another try."""
        with self._place_locks[place]:
            known = self._failures.get(place)
            if known is not None:
                raise known
            try:
                self._cache(place, max_frames)
                if place not in self._stored:
                    self._find_length(place)
            except DataError as error:
                with self._lock:
                    self._failures.setdefault(place, error)
                    self._note(place, str(error))
                raise

    def _preload_one(self, place: int) -> None:
        with contextlib.suppress(DataError):  # listed in `skipped`
            self._prepare(place, max_frames=None)

    def _cache(self, place: int, max_frames: int | None) -> None:
        """Decode the whole video if there is room for it and it isn't longer than `max_frames`."""
        if place in self._stored:
            return
        reader = self._reader(place)
        num_frames = reader.info.num_frames_expected
        if max_frames is not None and (num_frames or 0) > max_frames:
            return
        height, width = self._framing.stored_size((reader.info.height, reader.info.width))
        expected = (num_frames or 0) * height * width * self._companions.pixel_bytes
        with self._lock:
            room = self._cache_bytes - self._used_bytes
            if expected > room:
                return
            self._used_bytes += expected
        stored: StoredFrames | None = None
        try:
            stored = self._decode(place, reader, max_bytes=room)
        finally:
            with self._lock:
                self._used_bytes += (0 if stored is None else stored.num_bytes) - expected
        if stored is not None:
            self._lengths[place] = len(stored.times)
            self._stored[place] = stored
            self._readers.pop(place, None)

    def _decode(self, place: int, reader: VideoReader, *, max_bytes: int) -> StoredFrames | None:
        """All frames, or None as soon as they take more than `max_bytes`."""
        chunks: list[UInt8[np.ndarray, "t 3 h w"]] = []
        times: list[float] = []
        num_bytes = 0
        for chunk in _chunks(reader):
            chunks.append(self._resize(chunk))
            times += [frame.time for frame in chunk]
            num_bytes += chunks[-1].nbytes
            if num_bytes > max_bytes:
                return None
        item = self.items[place]
        self._companions.check(item, reader.info, len(times))
        frames = np.concatenate(chunks)
        beside = self._companions.load(item)
        return StoredFrames(frames=frames, times=np.asarray(times, dtype=np.float64), **beside)

    def _find_length(self, place: int) -> None:
        reader = self._reader(place)
        num_frames = reader.count_frames()
        self._companions.check(self.items[place], reader.info, num_frames)
        self._lengths[place] = num_frames

    def _features(self, place: int, indices: Sequence[int]) -> UInt16[np.ndarray, "t n e"] | None:
        if self._companions.features is None:
            return None
        with self._noting(place):
            return self._companions.features.read(self.items[place].video_id, indices)

    def _read_uncached(self, place: int, indices: list[int]) -> StoredFrames:
        reader = self._reader(place)
        with self._noting(place):
            frames = reader.read(indices)
            beside = self._companions.load(self.items[place], indices)
        times = np.asarray([frame.time for frame in frames], dtype=np.float64)
        return StoredFrames(frames=self._resize(frames), times=times, **beside)

    @contextlib.contextmanager
    def _noting(self, place: int) -> Iterator[None]:
        """List the video in `skipped` if it can't be read after all."""
        try:
            yield
        except DataError as error:
            with self._lock:
                self._note(place, str(error))
            raise

    def _resize(self, frames: list[VideoFrame]) -> UInt8[np.ndarray, "t 3 h w"]:
        resized = self._framing.frames(np.stack([frame.pixels for frame in frames]))
        return np.ascontiguousarray(resized.transpose(0, 3, 1, 2))

    def _reader(self, place: int) -> VideoReader:
        if place not in self._readers:
            self._readers[place] = VideoReader(self.items[place].video)
        return self._readers[place]


def _chunks(reader: VideoReader) -> Iterator[list[VideoFrame]]:
    """Some frames at a time, few where they are large."""
    per_chunk = max(1, _CHUNK_BYTES // (reader.info.width * reader.info.height * 3))
    frames = iter(reader)
    while chunk := list(itertools.islice(frames, per_chunk)):
        yield chunk
