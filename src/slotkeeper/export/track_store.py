"""All objects of one video on disk while it is being tracked, so that memory doesn't grow with its length."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from slotkeeper.errors import OutputError
from slotkeeper.tracking import TrackedFrame

_SCHEMA = """
CREATE TABLE objects (
    frame INTEGER, time REAL, id INTEGER, slot INTEGER, x0 INTEGER, y0 INTEGER, x1 INTEGER, y1 INTEGER,
    area INTEGER, confidence REAL, rle TEXT
);
CREATE UNIQUE INDEX by_track ON objects (id, frame);
"""
_COLUMNS = "frame, time, id, slot, x0, y0, x1, y1, area, confidence, rle"


@dataclass(frozen=True, kw_only=True)
class TrackRow:
    """One object in one frame.

    frame: from 0. time: seconds. box: x0 y0 x1 y1, x1 and y1 one past the last pixel. rle: COCO's compressed
    run-length counts of the mask.
    """

    frame: int
    time: float
    id: int
    slot: int
    box: tuple[int, int, int, int]
    area: int
    confidence: float
    rle: str


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """One object's history in numbers: first and last frame, frames in which it shows, means over these."""

    id: int
    slot: int
    first: int
    last: int
    num_visible: int
    confidence: float
    area: float


@dataclass(frozen=True, kw_only=True)
class TrackBin:
    """One object in one of the equal parts of a timeline: means over the frames of this part in which it shows."""

    bin: int
    confidence: float
    area: float


class TrackStore:
    """A temporary database of one video's objects; use it as a context manager.

    Args:
        path: a file that doesn't exist yet; the caller removes it.

    Raises:
        OutputError: the file can't be written, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")

    def __enter__(self) -> TrackStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, frame: TrackedFrame) -> None:
        """Keep one frame's objects.

        Raises:
            OutputError: the disk is full.
        """
        rows = [
            (
                frame.index,
                frame.time,
                tracked.id,
                tracked.slot,
                *tracked.box,
                tracked.area,
                tracked.confidence,
                encode_mask(tracked.mask),
            )
            for tracked in frame.objects
        ]
        with self._explained():
            self._database.executemany(f"INSERT INTO objects VALUES ({', '.join('?' * 11)})", rows)

    def rows(self) -> Iterator[TrackRow]:
        """All objects by frame, then id."""
        return self._select(f"SELECT {_COLUMNS} FROM objects ORDER BY rowid")

    def rows_of(self, track_id: int) -> Iterator[TrackRow]:
        """One object by frame."""
        return self._select(f"SELECT {_COLUMNS} FROM objects WHERE id = ? ORDER BY frame", track_id)

    def summaries(self, limit: int | None = None) -> Iterator[TrackSummary]:
        """Each object in numbers, ascending by id; with `limit` only those that show longest."""
        query = (
            "SELECT id, MIN(slot), MIN(frame), MAX(frame), COUNT(*) AS n, AVG(confidence), AVG(area) FROM objects "
            "GROUP BY id ORDER BY n DESC, id LIMIT ?"
        )
        rows = self._query(f"SELECT * FROM ({query}) ORDER BY id", -1 if limit is None else limit)
        for track_id, slot, first, last, num_visible, confidence, area in rows:
            yield TrackSummary(
                id=track_id,
                slot=slot,
                first=first,
                last=last,
                num_visible=num_visible,
                confidence=confidence,
                area=area,
            )

    def bins(self, track_id: int, *, num_frames: int, num_bins: int) -> Iterator[TrackBin]:
        """One object's mean confidence and area in each of the video's `num_bins` equal parts where it shows."""
        query = "SELECT frame * ? / ?, AVG(confidence), AVG(area) FROM objects WHERE id = ? GROUP BY 1 ORDER BY 1"
        for number, confidence, area in self._query(query, num_bins, num_frames, track_id):
            yield TrackBin(bin=number, confidence=confidence, area=area)

    def num_gaps(self, track_id: int) -> int:
        """How often an object was out of sight between two frames in which it shows."""
        query = (
            "SELECT COUNT(*) FROM (SELECT frame - LAG(frame) OVER (ORDER BY frame) AS step FROM objects WHERE id = ?) "
            "WHERE step > 1"
        )
        return int(next(self._query(query, track_id))[0])

    @property
    def num_tracks(self) -> int:
        """Objects seen so far."""
        return int(next(self._query("SELECT COUNT(DISTINCT id) FROM objects"))[0])

    @property
    def num_rows(self) -> int:
        """Objects counted once for each frame they show in."""
        return int(next(self._query("SELECT COUNT(*) FROM objects"))[0])

    def _select(self, query: str, *values: int) -> Iterator[TrackRow]:
        for frame, time, track_id, slot, x0, y0, x1, y1, area, confidence, rle in self._query(query, *values):
            yield TrackRow(
                frame=frame,
                time=time,
                id=track_id,
                slot=slot,
                box=(x0, y0, x1, y1),
                area=area,
                confidence=confidence,
                rle=rle,
            )

    def _query(self, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
        """Rows of a query; what it sorts may need room on the disk too."""
        with self._explained():
            yield from self._database.execute(query, values)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"can't write {self._path}: {error}") from error


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> str:
    """COCO's compressed run-length counts."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts: bytes = encoded["counts"]
    return counts.decode("ascii")
