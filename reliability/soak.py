"""Long streams through `slotkeeper track -`: does memory grow, and does any id come back after its object ended?

python -m reliability.soak [--frames 100000] [--kind ts] [--model default] [--work runs/soak]

Tracks streams of 100 and 1,000 frames and so on up to `--frames`, each by a command of its own, and prints their peak
memory side by side; of the longest also the memory while it goes. A length that has been measured is not measured
again: `--work` keeps its figures. Exit code 1 where memory grows or an id is used twice.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from reliability.stream_source import FORMATS

_ALLOWED_GROWTH = 1.10
"""Largest peak over that of the shortest stream with a full report; a page holds the first 1,800 frames."""
_FULL_REPORT = 1_800
_MAX_HIDDEN_FRAMES = 250
_LOOK_SECONDS, _WORD_SECONDS = 0.5, 30.0
_NUM_SAMPLES = 20


def lengths_up_to(num_frames: int) -> list[int]:
    """100, 1,000, 2,000 (the first with a full report), 10,000 and so on, and `num_frames` itself."""
    powers = [10**power for power in range(2, 12) if 10**power < num_frames]
    return sorted({*powers, *([2000] if num_frames > 2000 else []), num_frames})


def memory_of(process: int) -> tuple[float, float]:
    """Megabytes that a process has now, and had at most."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return tuple(int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def track_stream(num_frames: int, options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Run one command to its end, and watch it."""
    source = [sys.executable, "-m", "reliability.stream_source", str(options.work / "scenes")]
    source += ["--frames", str(num_frames), "--kind", options.kind, "--seed", str(options.seed)]
    command = [sys.executable, "-m", "slotkeeper", "track", "-", "--out", str(out), "--model", options.model, "--quiet"]
    started = time.monotonic()
    film = subprocess.Popen(source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False)
    tracking = subprocess.Popen(command, stdin=film.stdout)
    assert film.stdout is not None
    assert film.stderr is not None
    film.stdout.close()  # so that the film ends when tracking does
    written = [0]

    def listen() -> None:
        for line in film.stderr or ():
            written[0] = int(line) if line.strip().isdigit() else written[0]

    threading.Thread(target=listen, daemon=True).start()
    samples: list[dict[str, float]] = []
    peak, next_word = 0.0, started + _WORD_SECONDS
    while tracking.poll() is None:
        try:
            now, peak = memory_of(tracking.pid)
        except (OSError, KeyError):  # it has just ended
            break
        samples.append({"seconds": time.monotonic() - started, "frames": written[0], "memory": now})
        if time.monotonic() > next_word:
            next_word += _WORD_SECONDS
            print(f"  {written[0]:,} of {num_frames:,} frames sent, {now:.0f} MB", flush=True)
        time.sleep(_LOOK_SECONDS)
    code = tracking.wait()
    if film.wait() or code:
        sys.exit(f"a stream of {num_frames} frames ended with exit code {code}")
    result = {"frames": num_frames, "peak": peak, "seconds": time.monotonic() - started}
    return result | {"samples": _thinned(samples)} | check_ids(out / "stream", num_frames)


def _thinned(samples: list[dict[str, float]]) -> list[dict[str, float]]:
    """About `_NUM_SAMPLES`, while frames were coming and while the files were written."""
    step = max(1, len(samples) // _NUM_SAMPLES)
    return samples[::step]


def check_ids(folder: Path, num_frames: int) -> dict[str, Any]:
    """Read `tracks.csv` once; `faults` are sentences about ids that break the rules of docs/tracking.md."""
    slot_of: dict[int, int] = {}
    last_seen: dict[int, int] = {}
    newest_in: dict[int, int] = {}
    faults: list[str] = []
    num_rows, longest_absence, newest = 0, 0, 0
    with (folder / "tracks.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            frame, identity, slot = int(row["frame"]), int(row["id"]), int(row["slot"])
            num_rows += 1
            if identity not in slot_of:
                if identity < newest:
                    faults.append(f"id {identity} first shows in frame {frame}, after id {newest}")
                slot_of[identity], newest = slot, max(newest, identity)
            elif slot_of[identity] != slot:
                faults.append(f"id {identity} moves from slot {slot_of[identity]} to {slot} in frame {frame}")
            elif newest_in[slot] != identity:
                faults.append(f"id {identity} comes back in frame {frame} after id {newest_in[slot]} took its slot")
            else:
                absence = frame - last_seen[identity] - 1
                longest_absence = max(longest_absence, absence)
                if absence > _MAX_HIDDEN_FRAMES:
                    faults.append(f"id {identity} comes back in frame {frame} after {absence} frames")
            last_seen[identity], newest_in[slot] = frame, identity
    with (folder / "mot.txt").open(encoding="ascii") as file:
        if (num_lines := sum(1 for _ in file)) != num_rows:
            faults.append(f"mot.txt has {num_lines} lines, tracks.csv {num_rows}")
    found = {"ids": len(slot_of), "rows": num_rows, "longest_absence": longest_absence, "faults": faults[:10]}
    return found | {"bytes": {entry.name: entry.stat().st_size for entry in sorted(folder.iterdir())}}


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Figures of every length, from files where they are there."""
    scenes = options.work / "scenes"
    render = [sys.executable, "-m", "slotkeeper", "data", "render", "plain", "--out", str(scenes)]
    subprocess.run([*render, "--num-videos", "16", "--num-frames", "64"], check=True)
    results = []
    for num_frames in lengths_up_to(options.frames):
        kept = options.work / f"{options.kind}-{num_frames}.json"
        if not kept.exists():
            print(f"tracking a stream of {num_frames:,} frames", flush=True)
            out = options.work / f"tracks-{options.kind}-{num_frames}"
            result = track_stream(num_frames, options, out)
            kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            shutil.rmtree(out, ignore_errors=True)
        results.append(json.loads(kept.read_text(encoding="utf-8")))
    return results


def report(results: list[dict[str, Any]]) -> bool:
    """Print the table; returns whether all is well."""
    print(f"\n{'frames':>10} {'peak MB':>8} {'frames/s':>9} {'ids':>8} {'longest absence':>16} {'files MB':>9}")
    for result in results:
        speed, size = result["frames"] / result["seconds"], sum(result["bytes"].values()) / 2**20
        print(
            f"{result['frames']:>10,} {result['peak']:>8.0f} {speed:>9.1f} {result['ids']:>8,} "
            f"{result['longest_absence']:>16} {size:>9.1f}"
        )
    longest = results[-1]
    print(f"\nmemory while {longest['frames']:,} frames go through, the last lines while the files are written:")
    for sample in longest["samples"]:
        print(f"{sample['frames']:>10,} frames sent {sample['memory']:>8.0f} MB")
    faults = [fault for result in results for fault in result["faults"]]
    print("\n".join(faults) if faults else "\nno id came back after its object had ended")
    first = next((result for result in results if result["frames"] >= _FULL_REPORT), results[0])
    growth = longest["peak"] / first["peak"]
    print(f"peak memory of {longest['frames']:,} frames over that of {first['frames']:,}: {growth:.3f}")
    return not faults and growth <= _ALLOWED_GROWTH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--kind", choices=FORMATS, default="ts")
    parser.add_argument("--model", default="default")
    parser.add_argument("--work", type=Path, default=Path("runs/soak"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if report(measure(options)) else 1)


if __name__ == "__main__":
    main()
