"""Clips for training: any clip of any epoch is a function of (seed, epoch, index) alone.

So a run resumes exactly in the middle of an epoch, and the number of workers, prefetching or the size of the memory
for decoded videos change nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

from slotkeeper.data.augment import Augmentation
from slotkeeper.data.companions import Companions
from slotkeeper.data.features.reading import FeatureSet, check_feature_settings
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.resizing import Fit, Framing
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.store import VideoStore
from slotkeeper.data.stored import StoredFrames
from slotkeeper.data.truth import TruthKind, check_flow_settings
from slotkeeper.errors import ConfigError, DataError, counted, none_of
from slotkeeper.types import Clip

DEFAULT_CACHE_BYTES = 2 * 10**9
_CLIP_STREAM, _SUBSTITUTE_STREAM = 1, 2  # keep the two kinds of draws apart
_FALLBACK_GAP = 1.0 / 24.0


@dataclass(frozen=True, kw_only=True)
class ClipSample(StoredFrames):
    """One clip before it becomes a row of a batch. colours: what `Augmentation.draw_colours` gave."""

    video_id: str
    colours: Float32[np.ndarray, "3 4"] | None


class ClipDataset:
    """Random clips of fixed length and size from videos of any length, size and aspect ratio.

    An epoch visits every video `clips_per_video` times. A broken or too short video is named once in `skipped`, and
    its place in each epoch goes to another video drawn at random.

    Args:
        items: the videos, as `find_videos` lists them.
        clip_length: frames of a clip.
        size: height and width of the clips.
        frame_stride: every how manieth frame is taken.
        fit: see `Framing`; so is `enlarge`.
        augmentation: random changes per clip.
        short_videos: "skip" leaves videos out that are shorter than a clip; "loop" plays them forth and back.
        with_segments: give masks too (resized, integers).
        truth: flow, depth or both; videos without are left out. Of each pixel the value at its centre.
        features: what a backbone made of these videos' frames before; videos without are left out.
        clips_per_video: visits of each video in one epoch.
        cache_bytes: memory for decoded videos; what doesn't fit is read from disk clip by clip.

    Raises:
        ConfigError: a number out of range, or settings that flow or features don't go with.
        DataError: no items, or masks are asked for and a video has none.
    """

    def __init__(
        self,
        items: Sequence[VideoItem],
        *,
        clip_length: int,
        size: tuple[int, int],
        frame_stride: int = 1,
        fit: Fit = "stretch",
        enlarge: float = 1.0,
        augmentation: Augmentation | None = None,
        short_videos: Literal["skip", "loop"] = "skip",
        with_segments: bool = False,
        truth: Sequence[TruthKind] = (),
        features: FeatureSet | None = None,
        clips_per_video: int = 1,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        counts = {"clip_length": clip_length, "frame_stride": frame_stride, "clips_per_video": clips_per_video}
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"{name} must be at least 1, got {count}")
        if short_videos not in ("skip", "loop"):
            raise ConfigError(f"unknown short_videos '{short_videos}'; known are: loop, skip")
        if not items:
            raise DataError("a data set needs at least one video, got none")
        bare = [item for item in items if item.masks is None]
        if with_segments and bare:
            share = f"{len(bare)} of {counted(len(items), 'video')}"
            raise DataError(f"masks are needed, but {share} have none, such as {bare[0].video}")
        if "flow" in truth:
            check_flow_settings(frame_stride=frame_stride, short_videos=short_videos)
        self._augmentation = augmentation or Augmentation()
        if features is not None:
            check_feature_settings(fit=fit, augmentation=self._augmentation)
        self.clip_length = clip_length
        self.frame_stride = frame_stride
        self._framing = Framing(size=size, fit=fit, enlarge=enlarge)
        self._short_videos = short_videos
        self._clips_per_video = clips_per_video
        companions = Companions(
            framing=self._framing, with_segments=with_segments, truth=tuple(truth), features=features
        )
        self._store = VideoStore(items, companions=companions, cache_bytes=cache_bytes)
        self._precision = None if features is None else features.precision
        self._too_short: dict[int, SkippedVideo] = {}

    def with_clip_length(self, clip_length: int) -> ClipDataset:
        """The same videos in clips of another length; what is decoded already is shared."""
        other = copy.copy(self)
        other.clip_length = clip_length
        other._too_short = {}
        return other

    def __len__(self) -> int:
        """Clips in one epoch."""
        return len(self._store.items) * self._clips_per_video

    @property
    def skipped(self) -> list[SkippedVideo]:
        """Videos found unusable so far, each once."""
        return [*self._store.skipped, *self._too_short.values()]

    @property
    def num_cached(self) -> int:
        """Videos that are wholly in memory."""
        return self._store.num_cached

    def preload(self, *, num_threads: int | None = None, progress: bool = False) -> None:
        """Decode beforehand all that fits into memory, and find unusable videos. progress: a bar on stderr.

        Raises:
            DataError: no video is usable.
        """
        self._store.preload(num_threads=num_threads, progress=progress)
        for place in range(len(self._store.items)):
            self._is_usable(place)
        self._check_any_left()

    def sample(self, *, seed: int, epoch: int, index: int) -> ClipSample:
        """The clip at `index` (0 to len - 1) of an epoch.

        Raises:
            DataError: no video is usable.
        """
        place = index // self._clips_per_video
        for candidate in self._candidates(place, (seed, epoch, index)):
            if not self._is_usable(candidate):
                continue
            rng = np.random.default_rng([_CLIP_STREAM, seed, epoch, index])
            try:
                return self._draw(candidate, rng)
            except DataError:
                continue  # damaged in the middle: named by the store, replaced here
        self._check_any_left()
        raise DataError(
            f"no clip could be read from {len(self._store.items)} videos; the first: {self.skipped[0].reason}"
        )

    def collate(self, samples: Sequence[ClipSample]) -> Clip:
        """One batch: frames as float32 in [0, 1], segments as int32, features in the type that they are kept in."""
        pixels = np.stack([sample.frames for sample in samples])
        frames = np.divide(pixels, np.float32(255.0), dtype=np.float32)
        for row, sample in enumerate(samples):
            if sample.colours is not None:
                frames[row] = _recolour(frames[row], sample.colours)
        times = np.stack([sample.times for sample in samples]).astype(np.float32)
        segments = _stacked([sample.segments for sample in samples])
        features = _stacked([sample.features for sample in samples])
        return Clip(
            frames=torch.from_numpy(frames),
            times=torch.from_numpy(times),
            segments=None if segments is None else segments.to(torch.int32),
            flow=_stacked([sample.flow for sample in samples]),
            depth=_stacked([sample.depth for sample in samples]),
            features=None if features is None or self._precision is None else features.view(self._precision),
            video_ids=tuple(sample.video_id for sample in samples),
        )

    def _candidates(self, place: int, key: tuple[int, int, int]) -> Iterator[int]:
        """The video itself, then all in an order drawn for this clip."""
        yield place
        yield from np.random.default_rng([_SUBSTITUTE_STREAM, *key]).permutation(len(self._store.items)).tolist()

    def _is_usable(self, place: int) -> bool:
        try:
            length = self._store.length(place)
        except DataError:
            return False
        span = self._span
        if length >= span or self._short_videos == "loop":
            return True
        item = self._store.items[place]
        reason = f"{item.video} has {counted(length, 'frame')}, a clip needs {span} (short_videos is 'skip')"
        self._too_short[place] = SkippedVideo(video_id=item.video_id, path=item.video, reason=reason)
        return False

    @property
    def _span(self) -> int:
        return (self.clip_length - 1) * self.frame_stride + 1

    def _draw(self, place: int, rng: np.random.Generator) -> ClipSample:
        indices = _clip_indices(self._store.length(place), self.clip_length, self.frame_stride, rng)
        clip = self._cropped(self._store.read(place, indices), rng)
        if self._augmentation.draw_flip(rng):
            clip = clip.mirrored()
        return ClipSample(
            video_id=self._store.items[place].video_id,
            frames=clip.frames,
            times=_ascending(clip.times),
            segments=clip.segments,
            flow=clip.flow,
            depth=clip.depth,
            features=clip.features,
            colours=self._augmentation.draw_colours(rng),
        )

    def _cropped(self, stored: StoredFrames, rng: np.random.Generator) -> StoredFrames:
        if self._framing.fit != "random_crop":
            return stored
        height, width = self._framing.size
        top = int(rng.integers(stored.frames.shape[2] - height + 1))
        left = int(rng.integers(stored.frames.shape[3] - width + 1))
        return stored.cropped(slice(top, top + height), slice(left, left + width))

    def _check_any_left(self) -> None:
        if not any(self._is_usable(place) for place in range(len(self._store.items))):
            skipped = self.skipped
            raise DataError(none_of(len(skipped), skipped[0].reason))


def _clip_indices(num_frames: int, clip_length: int, stride: int, rng: np.random.Generator) -> list[int]:
    """Frames of a clip with a random start; forth and back (0 1 2 1 0 1 ...) through a video that is too short."""
    span = (clip_length - 1) * stride + 1
    steps = np.arange(clip_length) * stride
    if num_frames >= span:
        return list((int(rng.integers(num_frames - span + 1)) + steps).tolist())
    period = max(1, 2 * (num_frames - 1))
    phase = (int(rng.integers(period)) + steps) % period
    return list(np.where(phase < num_frames, phase, period - phase).tolist())


def _stacked(parts: Sequence[NDArray[Any] | None]) -> Tensor | None:
    """One tensor for the whole batch, or None where the clips haven't got it."""
    present = [part for part in parts if part is not None]
    return torch.from_numpy(np.stack(present)) if present else None


def _ascending(times: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, " t"]:
    """Times as they are, or, where the clip runs backwards or stands, times that go on with the same gaps."""
    gaps = np.abs(np.diff(times))
    if np.all(np.diff(times) > 0):
        return times
    gaps = np.where(gaps > 0, gaps, _FALLBACK_GAP)
    return np.concatenate([times[:1], times[0] + np.cumsum(gaps)])


def _recolour(
    frames: Float32[np.ndarray, "t 3 h w"], colours: Float32[np.ndarray, "3 4"]
) -> Float32[np.ndarray, "t 3 h w"]:
    flat = frames.reshape(frames.shape[0], 3, -1)
    recoloured: Float32[np.ndarray, "t 3 n"] = colours[:, :3] @ flat + colours[:, 3:]
    np.clip(recoloured, 0.0, 1.0, out=recoloured)
    return recoloured.reshape(frames.shape)
