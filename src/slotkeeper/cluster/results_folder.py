"""Where results are written and how they come to their place, whenever the driver is killed.

A worker writes to `.running-TOKEN/NUMBER/NAME`; only the driver that holds the lock moves it to `NAME`, after the
ledger says so. So a worker that outlives its driver changes nothing, and a driver that is killed in between is made up
for.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slotkeeper.cluster.ledger import VideoRecord, read_ledger
from slotkeeper.errors import OutputError
from slotkeeper.staging import publish
from slotkeeper.track_files import RESULT_FILES

_RUNNING_PREFIX = ".running-"


@contextmanager
def running_folder(target: Path) -> Iterator[Path]:
    """A hidden folder for what this driver's workers write; it goes at the end, when they are gone.

    Raises:
        OutputError: it can't be made.
    """
    folder = target / f"{_RUNNING_PREFIX}{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"can't write to {target}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        tidy(target)


def move_into_place(target: Path, record: VideoRecord) -> None:
    """Move the results of a video that the ledger calls done; what they replace is gone first.

    Raises:
        OutputError: the folder can't be written.
    """
    assert record.results is not None
    results, folder = target / record.results, target / record.name
    try:
        try:
            results.rename(folder)  # one step, without a look before: what other machines wrote may show late
        except OSError:
            publish(results, folder, RESULT_FILES)  # there is such a folder, perhaps with files of the user's own
    except OSError as error:
        raise OutputError(f"can't write results to {folder}: {error.strerror or error}") from error
    shutil.rmtree(results.parent, ignore_errors=True)


def tidy(target: Path) -> None:
    """Move what a driver called done but had not moved yet when it was stopped, and remove what else it left.

    Raises:
        OutputError: the folder can't be written.
        DataError: the ledger is damaged.
    """
    leftovers = [path for path in target.iterdir() if path.name.startswith(_RUNNING_PREFIX)]
    names = {path.name for path in leftovers}
    for record in read_ledger(target).values() if leftovers else ():
        is_left = record.state == "done" and record.results is not None and record.results.split("/")[0] in names
        if is_left and is_whole(target / str(record.results)):
            move_into_place(target, record)
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds all files of results."""
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name for entry in entries} >= set(RESULT_FILES)
    return False
