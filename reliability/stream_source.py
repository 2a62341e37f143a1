"""An endless film on standard output: built-in scenes in changing order, forwards and backwards, cut hard.

python -m reliability.stream_source SCENES --frames 1000 [--kind mkv] [--seed 0]

Objects move, enter and leave within a scene, and all change at a cut. Says on stderr, a number per line, how many
frames are written.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from slotkeeper.data import VideoReader

FORMATS = {"ts": "mpegts", "mkv": "matroska"}
_RATE = 25
_FRAMES_BETWEEN_WORDS = 100


def film(scenes: Path, seed: int) -> Iterator[np.ndarray]:
    """Frames of the scenes, for ever."""
    chance = random.Random(seed)
    videos = [[frame.pixels for frame in VideoReader(video)] for video in sorted(scenes.glob("*/video.mp4"))]
    while True:
        frames = chance.choice(videos)
        yield from frames if chance.random() < 0.5 else frames[::-1]


def write(frames: Iterator[np.ndarray], num_frames: int, kind: str) -> None:
    """Encode the first frames into the pipe."""
    first = next(frames)
    with av.open(sys.stdout.buffer, "w", format=FORMATS[kind]) as container:
        stream = container.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast", "crf": "16"})
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(num_frames):
            picture = av.VideoFrame.from_ndarray(first if index == 0 else next(frames), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, _RATE)
            container.mux(stream.encode(picture))
            if (index + 1) % _FRAMES_BETWEEN_WORDS == 0:
                print(index + 1, file=sys.stderr, flush=True)
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--kind", choices=FORMATS, default="ts")
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    write(film(parsed.scenes, parsed.seed), parsed.frames, parsed.kind)


if __name__ == "__main__":
    main()
