"""What became of all videos, in numbers and as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slotkeeper.cluster.ledger import State, VideoRecord
from slotkeeper.data.skipped import SkippedVideo


@dataclass(frozen=True, kw_only=True)
class ClusterSummary:
    """What became of the videos that were asked for.

    records: of each video. skipped: what could not be read, was read only in part, or killed its worker. earlier: names
    of those that were finished before this start. seconds: of this start, Ray's own included.
    """

    records: tuple[VideoRecord, ...]
    skipped: tuple[SkippedVideo, ...]
    earlier: frozenset[str]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 if all went well, 3 if something was skipped or crashed."""
        return 3 if self.skipped else 0

    @property
    def tracked(self) -> tuple[VideoRecord, ...]:
        """Videos that have results."""
        return self._in_state("done")

    @property
    def crashed(self) -> tuple[VideoRecord, ...]:
        """Videos whose worker died in both attempts."""
        return self._in_state("crashed")

    @property
    def num_retried(self) -> int:
        """Videos that needed a second attempt."""
        return sum(record.attempt > 1 for record in self.records)

    def _in_state(self, state: State) -> tuple[VideoRecord, ...]:
        return tuple(record for record in self.records if record.state == state)


def format_summary(summary: ClusterSummary) -> str:
    """The table: a number and what it counts in each line."""
    tracked = summary.tracked
    new = [record for record in tracked if record.name not in summary.earlier]
    frames = sum(record.num_frames for record in tracked)
    new_frames, worker_seconds = sum(record.num_frames for record in new), math.fsum(record.seconds for record in new)
    slowest = max(tracked, key=lambda record: record.seconds, default=None)
    rows = [
        ("videos", f"{len(summary.records)}", f"{len(summary.earlier)} of them finished before this start"),
        ("tracked", f"{len(tracked)}", f"{sum(record.reason is not None for record in tracked)} of them only in part"),
        ("skipped", f"{len(summary._in_state('skipped'))}", "could not be read"),
        ("crashed", f"{len(summary.crashed)}", "their workers died in both attempts"),
        ("retried", f"{summary.num_retried}", "took a second attempt"),
        ("frames", f"{frames}", "of all tracked videos"),
        ("objects", f"{sum(record.num_objects for record in tracked)}", "of all tracked videos"),
        ("seconds", f"{summary.seconds:.1f}", "of this start"),
        ("frames per second", _rate(new_frames, summary.seconds), "all workers together, in this start"),
        ("per worker", _rate(new_frames, worker_seconds), "frames per second while it tracks"),
    ]
    if slowest is not None:
        rows.append(("slowest", f"{slowest.seconds:.1f}", f"seconds for {slowest.name}"))
    width = max(len(value) for _, value, _ in rows)
    return "\n".join(f"{name:<17}  {value:>{width}}  {meaning}" for name, value, meaning in rows)


def skipped_videos(records: Sequence[VideoRecord], target: Path) -> list[SkippedVideo]:
    """What must be named: skipped, crashed, and tracked only in part."""
    return [
        SkippedVideo(
            path=Path(record.path),
            reason=record.reason,
            folder=target / record.name if record.state == "done" else None,
        )
        for record in records
        if record.is_final and record.reason is not None
    ]


def _rate(num_frames: int, seconds: float) -> str:
    return f"{num_frames / seconds:.1f}" if num_frames and seconds else "-"
