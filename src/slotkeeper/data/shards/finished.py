"""Sets of shards that are whole: found where one is to be made, checked, and made so by an index, which comes last."""

from __future__ import annotations

import shutil
from pathlib import Path

from slotkeeper.data.shards.archive import MAKING_FOLDER, ShardSet, open_shards, shard_problem
from slotkeeper.data.shards.index import FEATURES_FORMAT, FORMAT, INDEX_NAME, ShardIndex, index_text, parse_index
from slotkeeper.errors import DataError, OutputError
from slotkeeper.files import atomic_path


def open_finished(folder: Path, what: str, form: str = FORMAT) -> ShardSet | None:
    """The whole set in a folder, or None if it is empty, new, or was interrupted. what: it holds, in errors.

    Raises:
        OutputError: the folder holds something else.
        DataError: its index is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"can't write {what} into {folder}: it is not a folder")
    if not folder.exists():
        return None
    finished = open_shards(folder, form)
    if finished is None and not (folder / MAKING_FOLDER).is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty, and holds no {what} that were begun; choose another folder")
    return finished


def keep_finished(finished: ShardSet, folder: Path) -> None:
    """See that all shards have the bytes that were written, and remove what is left of the making.

    Raises:
        DataError: one is missing or damaged.
    """
    for shard in finished.index.shards:
        problem = shard_problem(finished.storage, shard)
        if problem is not None:
            raise DataError(f"{problem}; remove {folder} and make it again")
    shutil.rmtree(folder / MAKING_FOLDER, ignore_errors=True)


def write_index(folder: Path, index: ShardIndex) -> ShardIndex:
    """Make a set whole; returns the index as it can be read again.

    Raises:
        OutputError: it can't be written.
    """
    text = index_text(index)
    form = FORMAT if index.features is None else FEATURES_FORMAT
    known = parse_index(text, str(folder / INDEX_NAME), form)  # what is written can be read
    with atomic_path(folder / INDEX_NAME) as partial:
        partial.write_text(text, encoding="utf-8")
    return known
