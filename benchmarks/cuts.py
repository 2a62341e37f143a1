"""How many cuts between joined videos are found, and how many are found where there is none.

    python benchmarks/cuts.py --scenes 20 --videos FOLDER

Videos are joined in random order, each pair of neighbours once: rendered scenes of all families, and those in FOLDER.
Then all is done again with every second frame left out, so that everything moves twice as fast.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from slotkeeper.data import find_videos
from slotkeeper.data.reader import VideoFrame, VideoReader
from slotkeeper.scenes.families import FAMILIES
from slotkeeper.scenes.render import render_video
from slotkeeper.tracking import TrackingRules
from slotkeeper.tracking.cuts import mark_cuts


def main() -> None:
    """Print a line per kind of join and speed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=20, help="of each family")
    parser.add_argument("--frames", type=int, default=16, help="of each scene")
    parser.add_argument("--videos", type=Path, help="a folder of videos")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shots = [
        (family, render_video(family, seed=10_000 + number, num_frames=arguments.frames).frames)
        for family in FAMILIES
        for number in range(arguments.scenes)
    ]
    if arguments.videos is not None:
        shots += [(item.video_id, _pixels(item.video)) for item in find_videos(arguments.videos)]
    for step in (1, 2):
        _report([(kind, pixels[::step]) for kind, pixels in shots], np.random.default_rng(arguments.seed), step)


def _pixels(path: object) -> np.ndarray:
    return np.stack([frame.pixels for frame in VideoReader(path)])  # type: ignore[arg-type]


def _report(shots: list[tuple[str, np.ndarray]], generator: np.random.Generator, step: int) -> None:
    joins: Counter[str] = Counter()
    found: Counter[str] = Counter()
    order = [shots[index] for index in generator.permutation(len(shots))]
    marked = [is_cut for _, is_cut in mark_cuts(_frames(order), TrackingRules())]
    starts = np.cumsum([0, *(len(pixels) for _, pixels in order)])[1:-1]
    for (before, _), (after, _), start in zip(order, order[1:], starts, strict=False):
        kind = f"{before} to {before}" if before == after else "different families or videos"
        joins[kind] += 1
        found[kind] += marked[start]
    false = sum(marked) - sum(found.values())
    counts = f"{sum(joins.values())} cuts, {sum(found.values())} found, {false} false"
    print(f"every {step}. frame: {len(marked)} frames, {counts}")
    for kind, number in sorted(joins.items()):
        print(f"  {kind}: {found[kind]} of {number}")


def _frames(order: list[tuple[str, np.ndarray]]):  # type: ignore[no-untyped-def]
    number = 0
    for _, pixels in order:
        for picture in pixels:
            yield VideoFrame(pixels=picture, time=float(number), index=number)
            number += 1


if __name__ == "__main__":
    main()
