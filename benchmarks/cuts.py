"""How many cuts, dissolves and fades between joined videos are found, and how many are found where there is none.

    python benchmarks/cuts.py --scenes 20 --videos FOLDER

Videos are joined in random order, each pair of neighbours once: rendered scenes of all families, and those in FOLDER.
Then all is done again with every second frame left out, so that everything moves twice as fast. After that random pairs
are joined by dissolves and by fades through black and white, where shots that are too short run to and fro; and shots
are disturbed by what is no boundary: a camera that pans or zooms, light that fades, things that pass by or appear.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from time import process_time

import numpy as np

from slotkeeper.data import find_videos
from slotkeeper.data.reader import VideoFrame, VideoReader
from slotkeeper.data.resizing import resize_frames
from slotkeeper.scenes.families import FAMILIES
from slotkeeper.scenes.render import render_video
from slotkeeper.tracking import TrackingRules
from slotkeeper.tracking.cuts import mark_cuts

_LENGTHS = (5, 8, 16, 24, 32, 50)
"""Frames that a gradual change takes."""
_ALONE = 40
"""Frames of one shot alone before and after it."""
_LATE = 24
"""Frames after its end within which a boundary must be told."""
_SIZE = (96, 144)
"""Size at which shots are mixed and disturbed."""


def main() -> None:
    """Print a line per kind of join and speed, per kind and length of transition, and per disturbance."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=20, help="of each family")
    parser.add_argument("--frames", type=int, default=16, help="of each scene")
    parser.add_argument("--videos", type=Path, help="a folder of videos")
    parser.add_argument("--pairs", type=int, default=15, help="per kind and length of transition")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    scenes = [
        (family, np.asarray(render_video(family, seed=10_000 + number, num_frames=arguments.frames).frames))
        for family in FAMILIES
        for number in range(arguments.scenes)
    ]
    videos = [] if arguments.videos is None else _read(arguments.videos)
    shots = [*scenes, *videos]
    for step in (1, 2):
        _report([(kind, pixels[::step]) for kind, pixels in shots], np.random.default_rng(arguments.seed), step)
    for name, group in (("scenes", scenes), ("videos", videos)):
        small = [(kind, resize_frames(pixels, _SIZE)) for kind, pixels in group]
        if small:
            _report_transitions(name, small, arguments.pairs, np.random.default_rng(arguments.seed))
            _report_disturbances(name, small, np.random.default_rng(arguments.seed))


def _read(folder: Path) -> list[tuple[str, np.ndarray]]:
    return [
        (item.video_id, np.stack([frame.pixels for frame in VideoReader(item.video)])) for item in find_videos(folder)
    ]


def _report(shots: list[tuple[str, np.ndarray]], generator: np.random.Generator, step: int) -> None:
    joins: Counter[str] = Counter()
    found: Counter[str] = Counter()
    order = [shots[index] for index in generator.permutation(len(shots))]
    began = process_time()
    marked = _marked(picture for _, pixels in order for picture in pixels)
    milliseconds = 1000 * (process_time() - began) / len(marked)
    starts = np.cumsum([0, *(len(pixels) for _, pixels in order)])[1:-1]
    for (before, _), (after, _), start in zip(order, order[1:], starts, strict=False):
        kind = f"{before} to {before}" if before == after else "different families or videos"
        joins[kind] += 1
        found[kind] += marked[start]
    false = sum(marked) - sum(found.values())
    counts = f"{sum(joins.values())} cuts, {sum(found.values())} found, {false} false"
    print(f"every {step}. frame: {len(marked)} frames, {counts}; {milliseconds:.2f} ms of processor time per frame")
    for kind, number in sorted(joins.items()):
        print(f"  {kind}: {found[kind]} of {number}")


def _report_transitions(
    name: str, shots: list[tuple[str, np.ndarray]], pairs: int, generator: np.random.Generator
) -> None:
    for kind in ("dissolve", "fade through black", "fade through white"):
        for length in _LENGTHS:
            found = false = 0
            for _ in range(pairs):
                one, other = (shots[index][1] for index in generator.choice(len(shots), 2, replace=False))
                before, after = (_to_and_fro(pixels, _ALONE + length, generator) for pixels in (one, other))
                marked = _marked(_joined(before, after, length, kind))
                is_found = any(marked[_ALONE : _ALONE + length + _LATE])
                found, false = found + is_found, false + sum(marked) - is_found
            print(f"{name}, {kind} of {length} frames: {found} of {pairs} found, {false} false")


def _to_and_fro(pixels: np.ndarray, num_frames: int, generator: np.random.Generator) -> np.ndarray:
    whole = np.concatenate((pixels, pixels[-2:0:-1]))
    return whole[(generator.integers(len(whole)) + np.arange(num_frames)) % len(whole)]


def _joined(before: np.ndarray, after: np.ndarray, length: int, kind: str) -> np.ndarray:
    """`before` alone, both together for `length` frames, `after` alone."""
    share = (np.arange(1, length + 1) / (length + 1))[:, None, None, None]
    old, new = (
        (1 - share, share) if kind == "dissolve" else (np.maximum(1 - 2 * share, 0), np.maximum(2 * share - 1, 0))
    )
    level = 255 if kind.endswith("white") else 0
    mixed = old * before[_ALONE:] + new * after[:length] + (1 - old - new) * level
    return np.concatenate((before[:_ALONE], np.round(mixed).astype(np.uint8), after[length:]))


def _report_disturbances(name: str, shots: list[tuple[str, np.ndarray]], generator: np.random.Generator) -> None:
    for kind, disturb in _DISTURBANCES.items():
        false = frames = 0
        for length in (8, 24):
            for _, pixels in shots[:: max(1, len(shots) // 5)]:
                shot = _to_and_fro(pixels, 2 * _ALONE + length, generator)
                course = np.clip((np.arange(len(shot)) - _ALONE) / length, 0, 1)
                marked = _marked(disturb(shot, course))
                false, frames = false + sum(marked), frames + len(marked)
        print(f"{name}, {kind}: {false} false in {frames} frames")


def _pan(shot: np.ndarray, course: np.ndarray) -> np.ndarray:
    """A still picture and its mirror image, side by side; the camera goes from one to the other."""
    wide = np.concatenate((shot[0], shot[0][:, ::-1]), axis=1)
    return np.stack([wide[:, left : left + _SIZE[1]] for left in np.round(course * _SIZE[1]).astype(int)])


def _zoom(shot: np.ndarray, course: np.ndarray) -> np.ndarray:
    """The middle third of the picture fills it in the end."""
    margins = [[round(side * share / 3) for side in _SIZE] for share in course]
    cropped = [
        frame[top : _SIZE[0] - top, left : _SIZE[1] - left] for frame, (top, left) in zip(shot, margins, strict=True)
    ]
    return np.concatenate([resize_frames(frame[None], _SIZE) for frame in cropped])


def _dim(shot: np.ndarray, course: np.ndarray) -> np.ndarray:
    """Light falls to three tenths."""
    return (shot * (1 - 0.7 * course)[:, None, None, None]).astype(np.uint8)


def _covered(shot: np.ndarray, middle: np.ndarray, radius: float) -> np.ndarray:
    """A red disc over the picture. middle: of the disc per frame, in widths of the picture. radius: in heights."""
    rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
    away = columns - (middle * _SIZE[1])[:, None, None]
    is_disc = np.hypot(rows - _SIZE[0] / 2, away) < radius * _SIZE[0]
    return np.where(is_disc[..., None], np.array([200, 30, 40], dtype=np.uint8), shot)


_DISTURBANCES = {
    "a pan by a whole picture": _pan,
    "a zoom": _zoom,
    "light that fades": _dim,
    "a thing that passes by and covers 52 %": lambda shot, course: _covered(shot, 2 * course - 0.5, 0.5),
    "a thing that appears and covers 14 %": lambda shot, course: _covered(shot, np.where(course > 0, 0.5, 2), 0.26),
}


def _marked(pictures: Iterable[np.ndarray]) -> list[bool]:
    """Whether each begins a new shot."""
    frames = (VideoFrame(pixels=picture, time=float(index), index=index) for index, picture in enumerate(pictures))
    return [is_cut for _, is_cut in mark_cuts(frames, TrackingRules())]


if __name__ == "__main__":
    main()
