"""CATER: with masks as TFRecords (Kabra et al., 2021, arXiv 2106.03849), or the videos of Girdhar and Ramanan (2020).

The records' format: multi_object_datasets/cater_with_masks.py. Each is a zlib-compressed Example of raw bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from slotkeeper.data.sources.clevr import ClevrVideo
from slotkeeper.data.sources.example import Example
from slotkeeper.data.sources.record_videos import record_videos
from slotkeeper.data.sources.source import SourceVideo, VideoContent, split_in
from slotkeeper.data.sources.tfrecord import Record, RecordFile
from slotkeeper.errors import DataError

_FRAMES, _ENTITIES, _SIDE = 33, 11, 64
_FPS = Fraction(24)


class Cater(ClevrVideo):
    """TFRecords if there are any, else videos with scenes."""

    expects = (
        "cater_with_masks_train.tfrecords-00000-of-00100 and so on (gs://multi-object-datasets), or CATER's .avi files"
    )

    def videos(self) -> Iterator[SourceVideo]:
        """Records first; without any the videos."""
        shards = self.find("cater*.tfrecord*")
        if not shards:
            yield from super().videos()
        for shard in shards:
            number = re.search(r"-(\d+)-of-\d+$", shard.name)
            prefix = number[1] if number else shard.name.partition(".")[0]
            split = split_in(re.split(r"[_.-]", shard.name))
            yield from record_videos(RecordFile(shard), split=split, prefix=prefix, read=_read)


def _read(file: RecordFile, record: Record, place: str) -> VideoContent:
    example = Example(file.read(record), place)
    image = _raw(example, "image", (_FRAMES, _SIDE, _SIDE, 3), place)
    masks = _raw(example, "mask", (_FRAMES, _ENTITIES, _SIDE, _SIDE), place)
    covered = masks.any(axis=1)
    segments = np.where(covered, masks.argmax(axis=1), 0).astype(np.uint8)  # the first entity is the background
    labels = np.unique(segments[segments > 0])
    return VideoContent(
        frames=iter(image), fps=_FPS, segments=segments, objects=[{"id": int(label)} for label in labels]
    )


def _raw(example: Example, name: str, shape: tuple[int, ...], place: str) -> np.ndarray:
    content = b"".join(example.byte_strings(name))
    if len(content) != np.prod(shape):
        raise DataError(f"{place}: '{name}' has {len(content)} bytes, expected {'x'.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8).reshape(shape)
