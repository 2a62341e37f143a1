"""How the results of videos are called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from slotkeeper.data.media import MediaPath
from slotkeeper.data.stream import STANDARD_INPUT

SKIPPED_FILE = "skipped.json"
STREAM_NAME = "stream"
"""Of the results of what comes through a pipe."""
_LAYOUT_STEM = "video"
_LAYOUT_STEMS = (_LAYOUT_STEM, "frames")
_LONGEST = 200
"""In bytes: most file systems take 255, of which a number or the name of an unfinished folder may need some."""


def name_results(
    paths: Sequence[MediaPath], *, known: Mapping[Path, str] | None = None, reserved: Sequence[str] = ()
) -> dict[MediaPath, str]:
    """A folder name for each video, in order: its file's name without suffix, numbered where that is taken.

    Names of more than 200 bytes are cut. Several videos in the data layouts `NAME/video.mp4` and `NAME/frames` are
    called by their folders' names. Names that differ in case alone count as taken (some file systems don't tell them
    apart), and so do the plain names of videos that come later.

    Args:
        paths: the videos.
        known: names given earlier, by resolved path; they stay, and no other video gets one of them.
        reserved: names that no video may get.
    """
    former: dict[MediaPath, str] = {place: name for place, name in (known or {}).items()}
    distinct = {_resolved(path): path for path in reversed(paths)}
    kept = [path for path in dict.fromkeys(paths) if distinct[_resolved(path)] == path]
    stems = [_stem(path) for path in kept]
    if sum(stem in _LAYOUT_STEMS for stem in (*stems, *map(_stem, former.keys() - distinct.keys()))) > 1:
        folders = [path.resolve().parent.name if isinstance(path, Path) else "" for path in kept]
        stems = [folder or stem if stem in _LAYOUT_STEMS else stem for stem, folder in zip(stems, folders, strict=True)]
    plain = {stem.casefold() for stem in stems}
    taken = {name.casefold() for name in (SKIPPED_FILE, *reserved, *former.values())}
    names = {}
    for path, stem in zip(kept, stems, strict=True):
        if _resolved(path) in former:
            names[path] = former[_resolved(path)]
            continue
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in plain):
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names[path] = name
    return names


def _resolved(path: MediaPath) -> MediaPath:
    """Where it lies; standard input lies nowhere."""
    return path.resolve() if isinstance(path, Path) and path != STANDARD_INPUT else path


def _stem(path: MediaPath) -> str:
    if path == STANDARD_INPUT:
        return STREAM_NAME
    full = _resolved(path)
    stem = full.name if full.is_dir() else Path(full.name).stem
    stem = _writable(stem)
    return stem if stem.strip(".") else _LAYOUT_STEM


def _writable(stem: str) -> str:
    """A name that a folder can have: ids of shards may be any text, and of any length."""
    try:
        encoded = os.fsencode(stem)
    except UnicodeEncodeError:
        stem = stem.encode(errors="replace").decode()
        encoded = os.fsencode(stem)
    return stem if len(encoded) <= _LONGEST else encoded[:_LONGEST].decode(errors="ignore")
