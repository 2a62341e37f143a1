"""A short name for the content of a data set, so that a run can tell whether it still sees the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from slotkeeper.data.image_folder import media_files
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.media import MediaPath, num_bytes
from slotkeeper.data.shards.members import ShardFile
from slotkeeper.errors import DataError

_END_BYTES = 64 * 1024


def data_fingerprint(items: Sequence[VideoItem], *, with_truth: bool = False) -> str:
    """64 hexadecimal digits from ids, file names, sizes and the first and last 64 KB of every file.

    The same wherever the data lies and whenever it was copied. Of a folder of pictures all names and sizes count, but
    only the first and the last file are read. Of shards nothing is read: the checksums in their index count.
    with_truth: files of flow and depth count too.

    Raises:
        DataError: a file can't be read.
    """
    digest = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.video_id):
        digest.update(f"video {item.video_id}\n".encode())
        for role, path in (
            ("frames", item.video),
            ("masks", item.masks),
            ("truth", item.truth if with_truth else None),
        ):
            if path is not None:
                digest.update(f"{role}\n".encode())
                for part in _describe(path):
                    digest.update(part)
    return digest.hexdigest()


def content_mark(video: MediaPath) -> str:
    """64 hexadecimal digits by which a video is known, whether it lies in a folder or in a shard.

    From the lengths of its file or pictures and the first and last 64 KB of the first and the last one.

    Raises:
        DataError: a file can't be read.
    """
    digest = hashlib.sha256()
    try:
        files = media_files(video)
        for place, file in enumerate(files):
            digest.update(f"{num_bytes(file)}\n".encode())
            if place in (0, len(files) - 1):
                for part in _ends(file):
                    digest.update(part)
    except OSError as error:
        raise DataError(f"can't read {video}: {error.strerror}") from error
    return digest.hexdigest()


def _describe(path: MediaPath) -> Iterator[bytes]:
    try:
        files = media_files(path)
        for place, file in enumerate(files):
            if isinstance(file, ShardFile):
                yield f"{file.name} {file.member.num_bytes} {file.member.checksums}\n".encode()
                continue
            yield f"{file.name} {num_bytes(file)}\n".encode()
            if place in (0, len(files) - 1):
                yield from _ends(file)
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}") from error


def _ends(file: MediaPath) -> Iterator[bytes]:
    with file.open("rb") as handle:
        yield handle.read(_END_BYTES)
        handle.seek(max(0, num_bytes(file) - _END_BYTES))
        yield handle.read(_END_BYTES)
