"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slotkeeper.errors import OutputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it is renamed to `path`, on failure it is removed.

    The temporary name keeps the suffix, since writers choose their format by it.

    Raises:
        OutputError: the folder can't be made or written, or the disk is full.
    """
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def check_writable(path: Path) -> None:
    """Find out before long work whether a file can be written in the end; nothing is left behind.

    Raises:
        OutputError: it can't.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _partial(path).exists()  # a name can be too long
        place = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error


def _partial(path: Path) -> Path:
    return path.with_name(f".partial-{os.getpid()}-{path.name}")


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle or a zip of pickles, by its name or first bytes; reading one could run any code."""
    with path.open("rb") as handle:
        head = handle.read(9)
    # The first eight bytes of safetensors are a length, which may begin as a pickle does; then comes JSON.
    is_plain = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and head[8:9] != b"{"
    is_zip = head[:4] == b"PK\x03\x04" and head[8:9] != b"{"
    return path.suffix in (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin") or is_plain or is_zip


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused.

    Raises:
        OutputError: as `atomic_path`.
    """
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
