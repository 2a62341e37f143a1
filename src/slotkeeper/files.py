"""Files and folders that are either whole or absent."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from slotkeeper.errors import DataError, OutputError

LOCK_FILE = ".lock"


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
        _sync(partial)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`, for files; on success it is renamed to `folder`, on failure removed.

    Raises:
        OutputError: the folder can't be made or written, or the disk is full.
    """
    partial = _partial(folder)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for file in partial.iterdir():
            _sync(file)
        if folder.exists():
            remove_folder(folder)
        partial.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise OutputError(f"can't write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder that is never seen half removed."""
    leaving = folder.with_name(f".partial-{os.getpid()}-old-{folder.name}")
    folder.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def folder_lock(folder: Path, *, purpose: str = "") -> Iterator[None]:
    """Hold a folder, after those who hold it now; the lock goes with the process, however it ends.

    Only for those who ask for it too. Where the file system knows no locks there is none. purpose: what others are
    waited for, said on stderr where that is so.

    Raises:
        OSError: the folder can't be opened.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if purpose:
                    print(f"waiting for another process that is {purpose} {folder}", file=sys.stderr)
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, *, is_alone: bool = False) -> None:
    """Remove what killed processes left half-written in a folder, of files and of folders.

    is_alone: no other process can be writing there, so that even one with a number that is in use again is dead.
    """
    for leftover in folder.glob(".partial-*"):
        process = leftover.name.removeprefix(".partial-").split("-")[0]
        if is_alone or (process.isdecimal() and not _is_alive(int(process))):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                with suppress(OSError):
                    leftover.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


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


def json_or_none(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_path_list(path: Path) -> list[str]:
    """The lines of a text file, each a path or an address as it was written; empty lines don't count.

    Raises:
        DataError: the file can't be read, or lists nothing.
    """
    try:
        lines = [os.fsdecode(line) for line in path.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"can't read the list {path}: {error.strerror or error}") from error
    if not lines or any("\0" in line for line in lines):
        raise DataError(f"{path} is no list of paths, one per line")
    return lines


@contextmanager
def locked_folder(folder: Path, *, busy: str) -> Iterator[None]:
    """Make a folder and hold it for this process; the lock goes with the process, however it ends.

    busy: what to say where another process holds it.

    Raises:
        OutputError: the folder can't be written, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise OutputError(f"can't write into the folder {folder}: {error.strerror or error}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(busy) from error
        yield
