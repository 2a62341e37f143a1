"""The whole product on built-in videos: render, train, evaluate, track, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slotkeeper.build import resolved
from slotkeeper.cli.train import report_unusable
from slotkeeper.config import Config, load_config, with_steps
from slotkeeper.data import VideoItem
from slotkeeper.errors import ConfigError, counted
from slotkeeper.files import write_json
from slotkeeper.loading import load
from slotkeeper.track_files import TrackingSummary, track_videos
from slotkeeper.training import Processes, find_run_videos, resume, train
from slotkeeper.training.run_folder import refuse_unusable

_NUM_TRACKED = 4
_SHOWN = (
    ("video_fg_ari", "agreement with the true objects over whole videos (FG-ARI, background left out)"),
    ("frame_fg_ari", "the same frame by frame, where an identity may change"),
    ("video_miou", "overlap of one-to-one matched segments over whole videos"),
    ("video_mbo", "overlap of best matching segments over whole videos"),
    ("slot_permanence", "share of an object's visible frames held by its one slot"),
    ("id_switches", "how often the segment matched to an object changed (IoU from 0.5), summed over videos"),
    ("psnr", "of the reconstruction, dB"),
)


def run_demo(run: Path, *, steps: int | None = None, seed: int | None = None) -> int:
    """Run all parts, say which one is under way, and end with one screen; returns the exit code.

    An interrupted demo goes on where it stopped.

    Raises:
        ConfigError: `run` holds a demo with other settings.
        OutputError: `run` can't be written, or holds something else.
        SlotkeeperError: as the parts.
    """
    started = time.perf_counter()
    config = demo_config(steps=steps, seed=seed)
    _check_same(config, run)
    scenes = config.data.scenes
    assert scenes is not None
    to_learn_from = counted(scenes.num_train, "video")
    _say(1, f"{to_learn_from} to learn from and {scenes.num_val} others to judge by, rendered once")
    find_run_videos(config.data)
    _say(2, f"training {config.training.steps} steps without labels, then scoring the videos it never saw")
    alone = Processes()
    is_begun = (run / "config.yaml").exists()
    finished = resume(run, processes=alone) if is_begun else train(config, run, processes=alone)
    items = finished.videos.val[:_NUM_TRACKED]
    _say(3, f"tracking {len(items)} of these videos")
    tracked = _track(items, run)
    metrics = finished.metrics | {"frames_per_second_tracking": tracked.frames_per_second}
    write_json(run / "metrics.json", metrics)
    print(_last_screen(metrics, run, tracked, seconds=time.perf_counter() - started))
    return max(report_unusable(finished), tracked.exit_code)


def demo_config(*, steps: int | None = None, seed: int | None = None) -> Config:
    """The demo's config; with other `steps` its curriculum and warm-up shrink or grow alike."""
    config = load_config(find_shipped_config("demo.yaml"))
    if seed is not None:
        config = replace(config, seed=seed)
    return config if steps is None else with_steps(config, steps)


def find_shipped_config(name: str) -> Path:
    """A config that comes with slotkeeper: in an installed package inside it, in a clone at its top.

    Raises:
        ConfigError: there is none of this name.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / name).exists():
            return folder / name
    raise ConfigError(f"no config {name} comes with this slotkeeper")


def _check_same(config: Config, run: Path) -> None:
    if not (run / "config.yaml").exists():
        refuse_unusable(run)  # before anything is rendered
        return
    begun = load_config(run / "config.yaml")
    if (begun.training.steps, begun.seed) != (config.training.steps, config.seed):
        raise ConfigError(
            f"{run} holds a demo of {begun.training.steps} steps with seed {begun.seed}, not of "
            f"{config.training.steps} with seed {config.seed}; remove it, or choose another folder with --out"
        )
    if replace(begun, training=config.training) != replace(resolved(config), training=config.training):
        raise ConfigError(
            f"{run} holds a demo of another version of slotkeeper; remove it, or choose another folder with --out"
        )


def _track(items: Sequence[VideoItem], run: Path) -> TrackingSummary:
    return track_videos([item.video for item in items], load(run), run / "tracks")


def _say(part: int, what: str) -> None:
    print(f"\n[{part}/3] {what}", flush=True)


def _last_screen(metrics: dict[str, Any], run: Path, tracked: TrackingSummary, *, seconds: float) -> str:
    """Scores with their protocol, and where everything lies."""
    protocol, counts = metrics["protocol"], metrics["counts"]
    videos, objects = counted(counts["videos"], "video"), counted(counts["objects"], "object")
    lines = ["", f"Scores on {videos} that the model never saw ({objects}):", ""]
    for name, meaning in _SHOWN:
        value = metrics[name]
        shown = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
        lines.append(f"  {name:<16} {shown:>8}   {meaning}")
    lines += [
        "",
        f"  protocol: whole videos of {protocol['clip_length']} frames, masks at {protocol['mask_resolution']};",
        f"  {protocol['resize']};",
        f"  conditioning: {protocol['conditioning']}; seed {', '.join(map(str, protocol['seeds']))}",
        "",
        f"  trained in {metrics['train_seconds'] / 60:.1f} minutes "
        f"({metrics['frames_per_second_training']:.0f} frames per second), "
        f"tracks {metrics['frames_per_second_tracking']:.0f} frames per second, in all {seconds / 60:.1f} minutes",
        "",
        f"  scores   {run / 'metrics.json'}",
        *[f"  report   {video.folder / 'report.html'}" for video in tracked.tracked],
        "",
        f"  track your own video: slotkeeper track video.mp4 --model {run} --out tracks",
    ]
    return "\n".join(lines)
