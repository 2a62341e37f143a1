"""tracks.json: COCO's format for video instances, as YouTube-VIS uses it (Yang et al. 2019, arXiv 1905.04804)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from slotkeeper.export.track_store import TrackRow, TrackStore, TrackSummary
from slotkeeper.export.video_facts import VideoFacts

MAX_ENTRIES = 10_000_000
"""Objects times frames up to which lists have an entry for every frame of the video: 0.3 GB of nulls. Both grow with
the video, so a stream of a day would have more nulls than fit on a disk."""


def write_coco_vid(path: Path, store: TrackStore, facts: VideoFacts, *, max_entries: int = MAX_ENTRIES) -> None:
    """One annotation per object, with a list entry per frame, null where the object doesn't show.

    Masks are COCO's compressed run-length encoding with text counts, boxes `x y width height`. Beside the usual keys
    an annotation has `slot`, `scores` (confidence per frame), `score` (their mean) and `first_frame`, the frame that
    the lists begin with. That is 0, and they go to the video's end, as the format wants it; where these would be more
    than `max_entries` in all, they reach from the object's first frame to its last, and `info.lists` says so.
    """
    is_sparse = store.num_tracks * facts.num_frames > max_entries
    with path.open("w", encoding="utf-8") as file:
        file.write('{\n"info": ' + json.dumps(_info(facts, is_sparse=is_sparse)) + ',\n"videos": [')
        _write_object(file, _video(facts), {"file_names": _frame_names(facts)})
        file.write('],\n"categories": [{"id": 1, "name": "object", "supercategory": "object"}],\n"annotations": [')
        for number, summary in enumerate(store.summaries()):
            file.write(",\n" if number else "\n")
            shown = range(summary.first, summary.last + 1) if is_sparse else range(facts.num_frames)
            _write_object(file, _annotation(summary, facts, shown), _lists(store, summary.id, facts, shown))
        file.write("\n]\n}\n")


def _info(facts: VideoFacts, *, is_sparse: bool) -> dict[str, Any]:
    return {
        "description": f"objects of {facts.name}, found without labels",
        "model": facts.model,
        "fps": float(facts.fps),
        "start": facts.start,
        "problem": facts.problem,
        "cuts": list(facts.cuts),
        "crowding": facts.crowding,
        "lists": "from each object's first frame to its last" if is_sparse else "one entry per frame of the video",
    }


def _video(facts: VideoFacts) -> dict[str, Any]:
    return {
        "id": 1,
        "name": facts.name,
        "width": facts.width,
        "height": facts.height,
        "length": facts.num_frames,
        "fps": float(facts.fps),
    }


def _frame_names(facts: VideoFacts) -> Iterator[str]:
    return (f"{facts.stem}/{index:05d}.jpg" for index in range(facts.num_frames))


def _annotation(summary: TrackSummary, facts: VideoFacts, shown: range) -> dict[str, Any]:
    return {
        "id": summary.id,
        "video_id": 1,
        "category_id": 1,
        "slot": summary.slot,
        "iscrowd": 0,
        "width": facts.width,
        "height": facts.height,
        "length": facts.num_frames,
        "first_frame": shown.start,
        "score": round(summary.confidence, 4),
    }


def _lists(store: TrackStore, track_id: int, facts: VideoFacts, shown: range) -> dict[str, Iterator[Any]]:
    size = [facts.height, facts.width]
    entries: dict[str, Callable[[TrackRow], Any]] = {
        "segmentations": lambda row: {"size": size, "counts": row.rle},
        "bboxes": lambda row: [row.box[0], row.box[1], row.box[2] - row.box[0], row.box[3] - row.box[1]],
        "areas": lambda row: row.area,
        "scores": lambda row: round(row.confidence, 4),
    }
    return {key: _with_gaps(store.rows_of(track_id), entry, shown) for key, entry in entries.items()}


def _with_gaps(rows: Iterable[TrackRow], entry: Callable[[TrackRow], Any], shown: range) -> Iterator[Any]:
    """One entry per frame, None between rows."""
    position = shown.start
    for row in rows:
        while position < row.frame:
            yield None
            position += 1
        yield entry(row)
        position += 1
    while position < shown.stop:
        yield None
        position += 1


def _write_object(file: TextIO, plain: dict[str, Any], lists: dict[str, Iterator[Any]]) -> None:
    """A JSON object whose long lists are never held whole."""
    file.write(json.dumps(plain, allow_nan=False)[:-1])
    for key, values in lists.items():
        file.write(f', "{key}": [')
        for number, value in enumerate(values):
            file.write((", " if number else "") + json.dumps(value, allow_nan=False))
        file.write("]")
    file.write("}")
