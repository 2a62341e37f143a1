"""Which videos are to be tracked, and what is given of their first frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from slotkeeper.data.folders import find_videos, names_source
from slotkeeper.data.layouts import is_folder_of_frames
from slotkeeper.data.media import MediaPath, path_or_url
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.starts import Start
from slotkeeper.data.stream import STANDARD_INPUT, StreamReader
from slotkeeper.errors import DataError, VideoError, nearest_name
from slotkeeper.tracking import Tracker


def input_path(given: str | os.PathLike[str] | MediaPath) -> MediaPath | str:
    """`-` means standard input; a file of that name is given as `./-`, which a path would shorten."""
    if not isinstance(given, str | os.PathLike):
        return given
    path = path_or_url(given)
    return Path(path).absolute() if path == STANDARD_INPUT and os.fspath(given) != str(STANDARD_INPUT) else path


def find_inputs(paths: Sequence[MediaPath | str]) -> tuple[list[MediaPath], list[SkippedVideo]]:
    """Video files and folders of frames as they are, of other folders the videos in them; and folders without any."""
    found: list[MediaPath] = []
    skipped: list[SkippedVideo] = []
    for path in paths:
        try:
            if isinstance(path, str) or (isinstance(path, Path) and _holds_videos(path)):
                found += [item.video for item in find_videos(path)]
            else:
                found.append(path)
        except DataError as error:
            skipped.append(SkippedVideo(path=path, reason=str(error)))
    return found, skipped


def _holds_videos(path: Path) -> bool:
    return names_source(path) or (path.is_dir() and not is_folder_of_frames(path))


def choose_starts(
    named: Mapping[MediaPath, str],
    starts: Start | Mapping[str, Start] | None,
    tracker: Tracker,
    stream: StreamReader | None,
) -> dict[MediaPath, Start]:
    """Each video's start, checked against its frame; videos that can't be opened are left to be skipped later.

    named: videos, and what their results are called, by which `starts` knows them; one start is for a single video.
    stream: is read in place of standard input.

    Raises:
        DataError, ConfigError: a start doesn't fit its video or the model, or is missing.
    """
    if isinstance(starts, Start) and len(named) > 1:
        raise DataError(f"{starts.source} is one start for {len(named)} videos; name each under the key 'videos'")
    known = starts if isinstance(starts, Mapping) else {}
    for name in known:
        if name not in named.values():
            raise DataError(f"{known[name].source}: there is no such video; {nearest_name(name, named.values())}")
    chosen: dict[MediaPath, Start] = {}
    for path, name in named.items():
        start = starts if isinstance(starts, Start) else known.get(name)
        if start is None and starts is not None:
            beside = next(iter(known.values())).source if known else "an empty list"
            raise DataError(f"{beside}: there is no start for the video '{name}' beside it; each video needs one")
        if start is None and not tracker.model.initializer.needs_start:
            continue
        try:
            info = VideoReader(path).info if stream is None or path != STANDARD_INPUT else stream.info
        except VideoError:
            continue
        tracker.check_start(start, (info.height, info.width))
        if start is not None:
            chosen[path] = start
    return chosen
