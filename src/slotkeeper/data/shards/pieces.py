"""What is known of each finished shard while a set is being made, so that the same command goes on after a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.shards.archive import MAKING_FOLDER, shard_problem
from slotkeeper.data.shards.index import (
    BLOCK_BYTES,
    FORMAT,
    VERSION,
    Shard,
    ShardedVideo,
    parse_shard,
    parse_video,
    plain_shard,
    plain_video,
)
from slotkeeper.data.shards.samples import source_state
from slotkeeper.data.shards.storage import LocalStorage
from slotkeeper.errors import DataError
from slotkeeper.files import json_or_none, locked_folder, write_json


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One shard, and which videos it answers for.

    num_items: consecutive videos of the source, those that were left out included. state: `source_state` of them.
    skipped: id and reason of each that was left out.
    """

    num_items: int
    state: str
    shard: Shard
    videos: tuple[ShardedVideo, ...]
    skipped: tuple[tuple[str, str], ...]

    def save(self, folder: Path, number: int) -> None:
        """Write it down; from then on the shard counts as made.

        Raises:
            OutputError: it can't be written.
        """
        raw = {
            "num_items": self.num_items,
            "state": self.state,
            "shard": plain_shard(self.shard),
            "videos": [plain_video(video) for video in self.videos],
            "skipped": self.skipped,
        }
        write_json(_piece_path(folder, number), raw)


@contextmanager
def making(folder: Path, settings: Mapping[str, object], form: str = FORMAT) -> Iterator[None]:
    """Hold the folder for this process, and write down that a set is being made in it; leftovers of a kill go.

    settings: JSON values that must be the same when the making goes on. form: of what the shards hold.

    Raises:
        OutputError: it can't be written, or another process is making shards in it.
        DataError: it was begun with other settings.
    """
    place = folder / MAKING_FOLDER
    with locked_folder(place, busy=f"another process is making shards in {folder}"):
        for leftover in (*folder.glob(".partial-*-shard-*.tar"), *place.glob(".partial-*")):
            leftover.unlink(missing_ok=True)
        plan = {"format": form, "version": VERSION, **settings}
        begun = json_or_none(place / "plan.json")
        if begun is not None and begun != plan:
            raise DataError(f"{folder} was begun with other settings, {json.dumps(begun)}: give the same, or remove it")
        write_json(place / "plan.json", plan)
        yield


def kept_pieces(folder: Path, items: Sequence[VideoItem]) -> Iterator[Piece]:
    """The shards from the first on that are whole and whose videos are still the same; all later ones are removed."""
    storage = LocalStorage(folder=folder)
    number = first = 0
    while (piece := _read_piece(folder, number)) is not None:
        part = items[first : first + piece.num_items]
        is_same = len(part) == piece.num_items and source_state(part) == piece.state
        if not is_same or shard_problem(storage, piece.shard) is not None:
            break
        yield piece
        number, first = number + 1, first + piece.num_items
    for later in (*folder.glob("shard-*.tar"), *(folder / MAKING_FOLDER).glob("shard-*.json")):
        if later.stem >= shard_name(number):
            later.unlink(missing_ok=True)


def shard_name(number: int) -> str:
    """Without suffix."""
    return f"shard-{number:06d}"


def _piece_path(folder: Path, number: int) -> Path:
    return folder / MAKING_FOLDER / f"{shard_name(number)}.json"


def _read_piece(folder: Path, number: int) -> Piece | None:
    """A piece as it was saved, or None where it is missing or damaged."""
    raw = json_or_none(_piece_path(folder, number))
    try:
        shard = parse_shard(raw["shard"], "shard")
        shards = (shard,) * (number + 1)
        return Piece(
            num_items=int(raw["num_items"]),
            state=str(raw["state"]),
            shard=shard,
            videos=tuple(parse_video(video, "videos", shards, BLOCK_BYTES) for video in raw["videos"]),
            skipped=tuple((str(video_id), str(reason)) for video_id, reason in raw["skipped"]),
        )
    except (DataError, KeyError, TypeError, ValueError, OverflowError):
        return None
