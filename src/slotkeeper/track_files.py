"""Many videos to one folder of results each; what can't be read is named and the rest goes on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from slotkeeper.data.media import MediaPath
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.starts import Start
from slotkeeper.data.stream import STANDARD_INPUT, StreamReader, open_standard_input
from slotkeeper.errors import VideoError
from slotkeeper.export import ResultsWriter, VideoFacts
from slotkeeper.export.results import DATA_FILES
from slotkeeper.files import write_json
from slotkeeper.report import DEFAULT_MAX_FRAMES, ReportWriter
from slotkeeper.result_names import SKIPPED_FILE, STREAM_NAME, name_results
from slotkeeper.staging import check_apart, prepare_folder, staged
from slotkeeper.stopping import StopRequest, signal_name, stop_on_signals
from slotkeeper.track_inputs import choose_starts, find_inputs, input_path
from slotkeeper.tracking import ShotLog, Tracker

RESULT_FILES = (*DATA_FILES, "report.html")


@dataclass(frozen=True, kw_only=True)
class TrackedVideo:
    """One video's results.

    seconds: of tracking and writing. problem: why frames are missing, or None. num_cuts: between shots. crowding: a
    sentence where objects may have found no slot, or None.
    """

    path: MediaPath
    folder: Path
    num_frames: int
    num_objects: int
    seconds: float
    problem: str | None = None
    num_cuts: int = 0
    crowding: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrackingSummary:
    """What became of all videos; a video that ends too soon stands in both lists."""

    tracked: tuple[TrackedVideo, ...]
    skipped: tuple[SkippedVideo, ...]

    @property
    def exit_code(self) -> int:
        """0 if all went well, 3 if something was skipped."""
        return 3 if self.skipped else 0

    @property
    def frames_per_second(self) -> float:
        """Frames tracked and written per second, over all videos."""
        seconds = sum(video.seconds for video in self.tracked)
        return sum(video.num_frames for video in self.tracked) / seconds if seconds else 0.0


def track_videos(
    paths: Sequence[str | os.PathLike[str] | MediaPath] | str | os.PathLike[str],
    tracker: Tracker,
    out: str | os.PathLike[str],
    *,
    starts: Start | Mapping[str, Start] | None = None,
    report_frames: int = DEFAULT_MAX_FRAMES,
    show_progress: bool = True,
) -> TrackingSummary:
    """Track videos one after the other; each gets a folder in `out`, named after its file, with `RESULT_FILES`.

    A folder of frames is one video; any other folder stands for all videos that `find_videos` finds in it. `-` is a
    stream on standard input, called "stream"; Ctrl-C ends it, and what came until then has results. Videos of
    the same name get `-2`, `-3` ... in the order given; a path given twice is tracked once. Results appear when they
    are whole: a run that is killed leaves at most a hidden folder, which the next one removes. Videos that can't be
    read, or only in part, are named on stderr and in `out/skipped.json`.

    Args:
        paths: video files, folders of frames, folders or shards of videos, or `-`; or one of them.
        tracker: the model and its rules.
        out: a folder; made if missing.
        starts: where things are in the first frame: of the one video, or by the name of each video's results.
        report_frames: frames of each video that its report holds.
        show_progress: bars on stderr.

    Raises:
        VideoError: none of the videos could be read; `out/skipped.json` says why.
        DataError, ConfigError: a start doesn't fit its video or the model, or is missing; nothing is written.
        OutputError: `out` can't be written, the disk is full, or results would go into a video's own folder.
        ConfigError: `-` is given, and standard input is a terminal.
    """
    target = Path(out)
    wanted = [paths] if isinstance(paths, str | os.PathLike) else paths
    videos, skipped = find_inputs([input_path(path) for path in wanted])
    named = name_results(videos)
    check_apart(named.items(), target)
    stream = open_standard_input() if STANDARD_INPUT in named else None
    chosen = choose_starts(named, starts, tracker, stream)
    is_alone = len(named) + len(skipped) == 1  # what goes wrong with it is then the error itself
    prepare_folder(target)
    tracked: list[TrackedVideo] = []
    for folder in skipped if not is_alone else ():
        say_skipped(folder)
    for path, name in named.items():
        try:
            video = track_one(
                path,
                target / name,
                tracker,
                stream=stream if path == STANDARD_INPUT else None,
                start=chosen.get(path),
                report_frames=report_frames,
                show_progress=show_progress,
            )
        except VideoError as error:
            skipped.append(SkippedVideo(path=path, reason=str(error)))
            if is_alone:
                break
        else:
            tracked.append(video)
            if video.crowding is not None:
                tqdm.write(f"{path}: {video.crowding}", file=sys.stderr)
            if video.problem is None:
                continue
            skipped.append(SkippedVideo(path=path, reason=video.problem, folder=video.folder))
        say_skipped(skipped[-1])
    write_skipped(target / SKIPPED_FILE, skipped)
    if skipped and not tracked:
        none = f"none of the {len(skipped)} videos could be read; the reasons stand in {target / SKIPPED_FILE}"
        raise VideoError(skipped[0].reason if is_alone else none)
    return TrackingSummary(tracked=tuple(tracked), skipped=tuple(skipped))


def describe_start(start: Start | None) -> str | None:
    """What was given about a first frame, in words."""
    if start is None:
        return None
    return f"{start.kind} given in the first frame: {start.num_objects}"


def say_skipped(video: SkippedVideo) -> None:
    """Name a video that was skipped on stderr, above any progress bar."""
    tqdm.write(f"skipped: {video.reason}", file=sys.stderr)


def track_one(
    path: MediaPath,
    folder: Path,
    tracker: Tracker,
    *,
    stream: StreamReader | None = None,
    start: Start | None = None,
    report_frames: int = DEFAULT_MAX_FRAMES,
    show_progress: bool = False,
) -> TrackedVideo:
    """Track one video into `folder`, beside which half-written files are hidden; its parent exists.

    stream: is read instead of the path, which then only names it.

    Raises:
        VideoError: not one frame could be read.
        OutputError: the results can't be written, or the disk is full.
        CheckpointError: the model's masks are not finite numbers.
    """
    reader = stream or VideoReader(path)  # what ends too soon raises after its last frame
    info = reader.info
    name = path.name if stream is None else STREAM_NAME
    size = (info.height, info.width)
    began = time.perf_counter()
    num_frames, problem = 0, None
    watched = ShotLog()
    with (
        staged(folder, RESULT_FILES) as staging,
        ResultsWriter(staging, fps=info.fps, size=size) as results,
        ReportWriter(staging, fps=info.fps, size=size, max_frames=report_frames) as report,
        nullcontext(StopRequest()) if stream is None else stop_on_signals() as stop,
    ):
        frames = tracker.track_frames(reader, start=start)
        bar = tqdm(frames, desc=name, total=info.num_frames_expected, unit="frame", disable=not show_progress)
        try:
            for frame in bar:
                results.add(frame)
                report.add(frame)
                watched.add(frame)
                num_frames += 1
                if stream is not None and stop.number:  # what has come so far is not thrown away
                    stream.stop(f"was stopped by {signal_name(stop.number)}")
        except VideoError as error:
            if not num_frames:
                raise
            problem = str(error)
        facts = VideoFacts(
            name=name,
            stem=folder.name,
            width=info.width,
            height=info.height,
            fps=info.fps,
            num_frames=num_frames,
            model=tracker.name,
            start=describe_start(start),
            problem=problem,
            cuts=tuple(watched.cuts),
            crowding=watched.crowding,
        )
        results.finish(facts)
        seconds = time.perf_counter() - began
        settings = tracker.describe() | ({"start": facts.start} if facts.start else {})
        report.finish(facts, results.store, settings=settings, seconds=seconds)
        num_objects = results.store.num_tracks
    return TrackedVideo(
        path=path,
        folder=folder,
        num_frames=num_frames,
        num_objects=num_objects,
        seconds=seconds,
        problem=problem,
        num_cuts=len(watched.cuts),
        crowding=watched.crowding,
    )


def write_skipped(path: Path, skipped: Sequence[SkippedVideo]) -> None:
    """Name what was skipped in this run; without any, an older run's list goes."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    entries = [
        {
            "input": str(video.path),
            "reason": video.reason,
            "results": None if video.folder is None else str(video.folder),
        }
        for video in skipped
    ]
    write_json(path, entries)
