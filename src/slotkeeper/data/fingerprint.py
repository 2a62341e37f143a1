"""A short name for the content of a data set, so that a run can tell whether it still sees the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from slotkeeper.data.folders import VideoItem
from slotkeeper.data.image_folder import list_images
from slotkeeper.data.media import MediaPath, num_bytes
from slotkeeper.data.shards.members import ShardFile
from slotkeeper.errors import DataError

_END_BYTES = 64 * 1024


def data_fingerprint(items: Sequence[VideoItem]) -> str:
    """64 hexadecimal digits from ids, file names, sizes and the first and last 64 KB of every file.

    The same wherever the data lies and whenever it was copied. Of a folder of pictures all names and sizes count, but
    only the first and the last file are read. Of shards nothing is read: the checksums in their index count.

    Raises:
        DataError: a file can't be read.
    """
    digest = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.video_id):
        digest.update(f"video {item.video_id}\n".encode())
        for role, path in (("frames", item.video), ("masks", item.masks)):
            if path is not None:
                digest.update(f"{role}\n".encode())
                for part in _describe(path):
                    digest.update(part)
    return digest.hexdigest()


def _describe(path: MediaPath) -> Iterator[bytes]:
    try:
        files = list_images(path) if path.is_dir() else [path]
        for place, file in enumerate(files):
            if isinstance(file, ShardFile):
                yield f"{file.name} {file.member.num_bytes} {file.member.checksums}\n".encode()
                continue
            size = num_bytes(file)
            yield f"{file.name} {size}\n".encode()
            if place in (0, len(files) - 1):
                with file.open("rb") as handle:
                    yield handle.read(_END_BYTES)
                    handle.seek(max(0, size - _END_BYTES))
                    yield handle.read(_END_BYTES)
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}") from error
