"""Whole videos, one after the other, for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.media import MediaPath
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.resizing import Fit, Framing
from slotkeeper.data.segments import SegmentArray, check_segments_fit, load_segments
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.errors import DataError, none_of
from slotkeeper.types import Clip


def iterate_videos(
    items: Sequence[VideoItem],
    size: tuple[int, int],
    *,
    max_frames: int | None = None,
    fit: Fit = "stretch",
    skipped: list[SkippedVideo] | None = None,
) -> Iterator[Clip]:
    """Each video as one clip of batch size 1: frames resized to `size` (height, width), segments as they are stored.

    max_frames: keep only the first frames. fit: how frames come to their size. skipped: broken videos,
    and those whose masks don't fit, are appended here and passed over.

    Raises:
        DataError: no video is usable; a single video's own error if it is the only one.
    """
    skipped = [] if skipped is None else skipped
    num_given = 0
    first: DataError | None = None
    for item in items:
        try:
            clip = load_video(item, size, max_frames=max_frames, fit=fit)
        except DataError as problem:
            first = first or problem
            skipped.append(SkippedVideo(video_id=item.video_id, path=item.video, reason=str(problem)))
            continue
        num_given += 1
        yield clip
    if num_given == 0:
        if len(items) == 1 and first is not None:
            raise first
        raise DataError("there is no video to read" if first is None else none_of(len(items), str(first)))


def load_video(item: VideoItem, size: tuple[int, int], *, max_frames: int | None = None, fit: Fit = "stretch") -> Clip:
    """One video as a clip of batch size 1, as `iterate_videos` gives it. Segments are int32.

    Raises:
        DataError: the video is broken or truncated, or its masks don't fit.
    """
    reader, framing = VideoReader(item.video), Framing(size=size, fit=fit)
    frames, times = [], []
    for frame in islice(reader, max_frames):
        frames.append(framing.frames(frame.pixels[None]))
        times.append(frame.time)
    segments = None
    if item.masks is not None:
        is_whole = max_frames is None or len(frames) < max_frames
        num_frames = len(frames) if is_whole else reader.info.num_frames_declared
        segments = torch.from_numpy(_load_fitting(item.masks, reader, num_frames)[None, : len(frames)].astype(np.int32))
    pixels = np.ascontiguousarray(np.concatenate(frames).transpose(0, 3, 1, 2))
    return Clip(
        frames=torch.from_numpy(np.divide(pixels, np.float32(255.0), dtype=np.float32))[None],
        times=torch.tensor([times], dtype=torch.float32),
        segments=segments,
        video_ids=(item.video_id,),
    )


def _load_fitting(masks: MediaPath, reader: VideoReader, num_frames: int | None) -> SegmentArray:
    segments = load_segments(masks)
    info = reader.info
    check_segments_fit(
        segments.shape, masks, num_frames=num_frames, height=info.height, width=info.width, video=info.path
    )
    return segments
