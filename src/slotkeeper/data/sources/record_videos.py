"""Videos that are one record each of a TFRecord file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

from slotkeeper.data.sources.source import SourceVideo, Split, VideoContent
from slotkeeper.data.sources.tfrecord import Record, RecordFile
from slotkeeper.errors import DataError


def record_videos(
    file: RecordFile, *, split: Split | None, prefix: str, read: Callable[[RecordFile, Record, str], VideoContent]
) -> Iterator[SourceVideo]:
    """Every record of a file as a video, called by `prefix` and its number.

    What comes after damage can't be found; it is one more video, whose reading tells what is wrong.
    """
    index = 0
    try:
        for record in file.records():
            place = f"{file.path}, record {record.index}"
            yield SourceVideo(
                video_id=f"{prefix}-{index:03d}",
                split=split,
                place=place,
                read=partial(read, file, record, place),
                files=(file.path,),
                part=f"{record.offset} {record.num_bytes}",
            )
            index += 1
    except DataError as error:
        yield SourceVideo(
            video_id=f"{prefix}-{index:03d}",
            split=split,
            place=f"{file.path}, from record {index} on",
            read=partial(_fail, str(error)),
            files=(file.path,),
        )


def _fail(problem: str) -> NoReturn:
    raise DataError(problem)
