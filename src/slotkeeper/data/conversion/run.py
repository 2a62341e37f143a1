"""A public data set to a folder of videos: each is whole or absent, and the record of all comes last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from slotkeeper.data.conversion.record import (
    RECORD_NAME,
    WORK_FOLDER,
    Journal,
    WrittenFile,
    WrittenVideo,
    converting,
    read_record,
    write_record,
)
from slotkeeper.data.conversion.video_folder import write_video_folder
from slotkeeper.data.image_folder import natural_key
from slotkeeper.data.sources.names import find_source
from slotkeeper.data.sources.source import SourceVideo, VideoContent
from slotkeeper.errors import ConfigError, DataError, OutputError, none_of
from slotkeeper.staging import prepared_in

_STAGING = "video"
_MOST_WORKERS = 8
"""If nobody says how many: each holds a video's truth in memory."""


@dataclass(frozen=True, kw_only=True)
class ConvertedDataset:
    """A whole data set. skipped: place and reason of each video that was left out."""

    folder: Path
    videos: tuple[WrittenVideo, ...]
    skipped: tuple[tuple[str, str], ...]


def convert_dataset(
    name: str, source: str | Path, out: str | Path, *, num_workers: int | None = None, show_progress: bool = True
) -> ConvertedDataset:
    """Write the videos of a public data set with all their truth into `out`, and a record of them last.

    Videos that are whole already stay as they are, so that the same command goes on after a kill, and adds what was
    missing or broken before.

    Args:
        name: which data set, as `slotkeeper.data.sources.names` lists them.
        source: the folder that was downloaded and unpacked; for `atari` which games.
        out: a new or empty folder, or one where this was done before.
        num_workers: videos that are converted side by side; None for one per core, at most 8. It changes no byte.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: there is no data set of this name, or `num_workers` is no such number.
        DataError: the source holds no such data set, none of its videos can be used, or `out` was begun as another.
        OutputError: `out` holds something else or can't be written, or the disk is full.
    """
    if num_workers is not None and num_workers < 1:
        raise ConfigError(f"num_workers must be at least 1, got {num_workers}")
    folder = Path(out)
    _check_out(folder, source)
    listed = list(find_source(name)(str(source)).videos())
    if not listed:
        raise DataError(f"{source} holds no video of {name}")
    finished = _unchanged(folder, name, listed)
    if finished is not None:
        return ConvertedDataset(folder=folder, videos=tuple(finished), skipped=())
    with converting(folder, name) as journal:
        workers = num_workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        done, skipped = _convert_all(folder, listed, journal, workers, show_progress)
        done += _kept(folder, journal, done)
        if not done:
            shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
            raise DataError(none_of(len(skipped), skipped[0][1]))
        done.sort(key=lambda video: natural_key(video.video_id))
        write_record(folder, name, done, len(skipped))
        shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
    return ConvertedDataset(folder=folder, videos=tuple(done), skipped=tuple(skipped))


def _check_out(folder: Path, source: str | Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"can't convert into {folder}: it is not a folder")
    if Path(source).is_dir() and folder.resolve().is_relative_to(Path(source).resolve()):
        raise OutputError(f"{folder} lies in the source {source}; choose a folder outside of it")
    is_ours = (folder / WORK_FOLDER).is_dir() or (folder / RECORD_NAME).is_file()
    if folder.is_dir() and not is_ours and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty, and no conversion was begun in it; choose another folder")


def _unchanged(folder: Path, name: str, listed: Sequence[SourceVideo]) -> list[WrittenVideo] | None:
    """The videos of a finished data set to which nothing is to be added, and whose bytes are all as they were."""
    finished = None if (folder / WORK_FOLDER).is_dir() else read_record(folder)
    if finished is None or finished[0] != name:
        return None
    known = {video.video_id: video for video in finished[1]}
    for video in listed:
        try:
            before = known.get(video.path_id())
        except DataError:
            return None
        if before is None or before.state != video.state() or not before.is_whole(folder / before.video_id):
            return None
    return finished[1]


def _convert_all(
    folder: Path, listed: Sequence[SourceVideo], journal: Journal, num_workers: int, show_progress: bool
) -> tuple[list[WrittenVideo], list[tuple[str, str]]]:
    for leftover in (folder / WORK_FOLDER).glob(f"{_STAGING}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    by_id: dict[str, list[int]] = {}
    reasons: dict[int, str] = {}
    for number, video in enumerate(listed):
        try:
            by_id.setdefault(video.path_id(), []).append(number)
        except DataError as error:
            reasons[number] = str(error)

    def convert(numbers: Sequence[int]) -> WrittenVideo | None:
        """The first of the videos of one id that can be used."""
        written = None
        for number in numbers:
            video = listed[number]
            try:
                if written is not None:
                    raise DataError(f"{video.place}: another video is called {written.video_id} too")
                written = _convert_or_keep(folder, video, journal, f"{_STAGING}-{number}")
            except DataError as error:
                reasons[number] = str(error)
        return written

    with closing(_each(convert, list(by_id.values()), num_workers)) as outcomes:
        bar = tqdm(outcomes, total=len(by_id), desc="converting", unit="video", disable=not show_progress)
        done = [written for written in bar if written is not None]
    return done, [(listed[number].place, reasons[number]) for number in sorted(reasons)]


def _each(
    convert: Callable[[Sequence[int]], WrittenVideo | None], groups: Sequence[Sequence[int]], num_workers: int
) -> Generator[WrittenVideo | None, None, None]:
    """What comes of all groups, in their order. Closed before its end, it waits for what is under way, and no more."""
    if num_workers == 1:
        yield from map(convert, groups)
        return
    pool = ThreadPoolExecutor(num_workers)
    try:
        yield from pool.map(convert, groups)
    finally:
        pool.shutdown(cancel_futures=True)


def _kept(folder: Path, journal: Journal, done: Sequence[WrittenVideo]) -> list[WrittenVideo]:
    """Whole videos of an earlier call that the source no longer gives, for instance because a part was deleted."""
    ids = {video.video_id for video in done}
    others = (video for video in journal.videos.values() if video.video_id not in ids)
    return [video for video in others if video.is_whole(folder / video.video_id)]


def _convert_or_keep(folder: Path, video: SourceVideo, journal: Journal, staging: str) -> WrittenVideo:
    """Raises a DataError where the video can't be used, an OutputError where nothing can be written."""
    video_id = video.path_id()
    before, state = journal.videos.get(video_id), video.state()
    if before is not None and before.state == state and before.is_whole(folder / video_id):
        return before
    written = _convert(folder, video, state, staging)
    journal.add([written])
    return written


def _convert(folder: Path, video: SourceVideo, state: str, name: str) -> WrittenVideo:
    video_id = video.path_id()
    staging, target = folder / WORK_FOLDER / name, folder / video_id
    with prepared_in(staging, target):
        staging.mkdir()
        num_frames, width, height = write_video_folder(_read(video), staging, video.place)
        files = tuple(WrittenFile.of(path) for path in sorted(staging.iterdir()))
        _put_in_place(staging, target)
    return WrittenVideo(video_id=video_id, state=state, num_frames=num_frames, width=width, height=height, files=files)


def _read(video: SourceVideo) -> VideoContent:
    try:
        return video.read()
    except DataError as error:
        raise error if video.place in str(error) else DataError(f"{video.place}: {error}") from error
    except MemoryError as error:
        raise DataError(f"{video.place} takes more memory than there is") from error
    except OSError as error:
        raise DataError(f"{video.place} can't be read: {error.strerror or error}") from error


def _put_in_place(staging: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)  # of an earlier source, or damaged
    staging.replace(target)
