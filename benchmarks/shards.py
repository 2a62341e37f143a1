"""Frames per second of processor time of reading the same videos from a folder and from shards, side by side.

python benchmarks/shards.py FOLDER [--repeats 5] [--clips 300]

"whole" decodes every video from end to end at 64x64, as training does before it starts; "clips" draws random clips of 4
frames without keeping anything, as training does with videos that don't fit into memory. Both come from the page cache:
what is measured is the work, not the disk or the network. In each repeat the places take turns; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import fsspec

from slotkeeper.data import ClipDataset, find_videos, make_shards

_SIZE, _CLIP_LENGTH = (64, 64), 4


def whole_rate(place: str) -> float:
    items = find_videos(place)
    dataset = ClipDataset(items, clip_length=1, size=_SIZE, cache_bytes=10**11)
    started = time.process_time()
    dataset.preload(num_threads=1)
    seconds = time.process_time() - started
    return sum(dataset._store.length(index) for index in range(len(items))) / seconds


def clip_rate(place: str, num_clips: int) -> float:
    dataset = ClipDataset(find_videos(place), clip_length=_CLIP_LENGTH, size=_SIZE, cache_bytes=0, clips_per_video=100)
    for index in range(0, len(dataset), 100):  # lengths and key frames are found once
        dataset.sample(seed=1, epoch=0, index=index)
    started = time.process_time()
    for number in range(num_clips):
        dataset.sample(seed=0, epoch=0, index=number * 7919 % len(dataset))
    return num_clips * _CLIP_LENGTH / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=int, default=300)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        shards = Path(temporary) / "shards"
        made = make_shards(parsed.folder, shards, shard_mb=32, show_progress=False)
        store = fsspec.filesystem("memory")
        for path in shards.iterdir():
            store.pipe_file(f"/shards/{path.name}", path.read_bytes())
        places = {"folder": parsed.folder, "shards": str(shards), "memory://": "memory://shards"}
        num_bytes = sum(shard.num_bytes for shard in made.index.shards)
        print(f"{len(made.index.videos)} videos, {len(made.index.shards)} shards, {num_bytes / 1e6:.1f} MB")
        rates: dict[tuple[str, str], list[float]] = {}
        for _ in range(parsed.repeats):
            for name, place in places.items():
                rates.setdefault((name, "whole"), []).append(whole_rate(place))
                rates.setdefault((name, "clips"), []).append(clip_rate(place, parsed.clips))
    for (name, kind), values in rates.items():
        span = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name:10} {kind:6} {statistics.median(values):8.0f} frames per CPU second ({span})")


if __name__ == "__main__":
    main()
