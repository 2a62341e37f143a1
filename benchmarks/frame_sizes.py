"""What large and vertical videos cost: memory and processor time of `slotkeeper track` on one core.

    python benchmarks/frame_sizes.py 3840x2160 2160x3840 --frames 24

Makes a video of four moving discs for each size and tracks it with the model that comes with the package.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

from slotkeeper.data.writer import VideoWriter

_COLORS = ((200, 40, 40), (40, 170, 60), (50, 70, 210), (220, 200, 40))
_BLOCK = 8


def main() -> None:
    """Print a line per size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="+", help="WIDTHxHEIGHT, multiples of 8")
    parser.add_argument("--frames", type=int, default=24)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        width, height = (int(side) for side in size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "video.mp4"
            _write(video, width, height, arguments.frames)
            short, whole = (_cost(video, Path(folder), is_whole=is_whole) for is_whole in (False, True))
        seconds = whole[0] - short[0]
        print(
            f"{size}: {arguments.frames} frames, {seconds:.1f} s of one core "
            f"({arguments.frames / seconds:.2f} frames/s) beside {short[0]:.1f} s to start, peak {whole[1]:.0f} MB"
        )


def _write(path: Path, width: int, height: int, num_frames: int) -> None:
    rows, columns = np.mgrid[: height // _BLOCK, : width // _BLOCK]
    with VideoWriter(path, fps=Fraction(25), width=width, height=height) as writer:
        for index in range(num_frames):
            frame = np.full((height // _BLOCK, width // _BLOCK, 3), 110, dtype=np.uint8)
            for place, color in enumerate(_COLORS):
                x = width / _BLOCK * (0.2 + 0.2 * place) + 3 * index * np.cos(place)
                y = height / _BLOCK * (0.3 + 0.12 * place) + 2 * index * np.sin(1 + place)
                frame[(columns - x) ** 2 + (rows - y) ** 2 < (min(width, height) / 27 / _BLOCK * 3) ** 2 / 4] = color
            writer.write(frame.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1))


def _cost(video: Path, folder: Path, *, is_whole: bool) -> tuple[float, float]:
    """Processor seconds and peak megabytes of the command, or of one that only loads the model."""
    arguments = ["track", str(video), "--out", str(folder / "out"), "--device", "cpu", "--quiet"]
    loads = "from slotkeeper.loading import load; import slotkeeper.track_files; load(device='cpu')"
    command = [sys.executable, *(["-m", "slotkeeper", *arguments] if is_whole else ["-c", loads])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
