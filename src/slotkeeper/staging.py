"""Folders of results that appear when they are whole, whoever else writes beside."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slotkeeper.errors import OutputError
from slotkeeper.files import folder_lock, remove_leftovers


def prepare_folder(target: Path) -> None:
    """Make the folder and remove what killed runs left in it.

    Raises:
        OutputError: it can't be made.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
    except OSError as error:
        raise OutputError(f"can't write results to {target}: {error.strerror or error}") from error


def check_apart(named: Iterable[tuple[object, str]], target: Path) -> None:
    """Refuse results that would replace a video's own files, such as its true masks.

    named: videos, and what the folders of their results in `target` are called.

    Raises:
        OutputError: a video lies in the folder of its results.
    """
    for video, name in named:
        folder = (target / name).resolve()
        if isinstance(video, Path) and video.resolve().is_relative_to(folder):
            raise OutputError(
                f"the results of {video} would go into {folder}, where the video itself lies; choose another folder"
            )


@contextmanager
def staged(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a hidden folder beside `folder`; on success its files `names` replace those in `folder`, else they vanish.

    Raises:
        OutputError: the folder can't be written, or the disk is full.
    """
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".partial-{os.getpid()}-", dir=folder.parent))
        try:
            yield staging
            publish(staging, folder, names)
        except OutputError as error:
            raise _without_hidden(error, staging, folder) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"can't write results to {folder}: {error.strerror or error}") from error


@contextmanager
def prepared_in(staging: Path, target: Path) -> Iterator[None]:
    """While a folder is prepared in a hidden one: errors name `target`, and what is left of the hidden one goes.

    Raises:
        OutputError: the folder can't be written, or the disk is full.
    """
    try:
        yield
    except OutputError as error:
        raise _without_hidden(error, staging, target) from error
    except OSError as error:
        raise OutputError(f"can't write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _without_hidden(error: OutputError, staging: Path, folder: Path) -> OutputError:
    """The same sentence, with the place that the user knows."""
    return OutputError(str(error).replace(str(staging), str(folder)))


def publish(staging: Path, folder: Path, names: Sequence[str]) -> None:
    """Put whole files in place. Former ones go first, and one process at a time comes: no mixture is ever seen."""
    for name in names:
        with (staging / name).open("rb") as file:
            os.fsync(file.fileno())
    folder.mkdir(exist_ok=True)
    with folder_lock(folder):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for name in names:
            (staging / name).replace(folder / name)
