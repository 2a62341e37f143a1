"""Rendering many videos to a folder, over all cores, resumable after a kill at any moment.

Layout: `00000/video.mp4` and `00000/masks.npz` per video, `truth.npz` where asked for, and `scenes.json` beside them.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from slotkeeper.data.writer import VideoWriter
from slotkeeper.errors import ConfigError, DataError, OutputError
from slotkeeper.files import folder_lock, remove_leftovers, write_json
from slotkeeper.scenes.families import SceneFamily, find_family
from slotkeeper.scenes.physics import FRAMES_PER_SECOND
from slotkeeper.scenes.render import RenderedVideo, check_numbers, render_video
from slotkeeper.staging import prepared_in

SCENES_VERSION = 1
TRUTH_KINDS = ("masks", "amodal", "depth", "flow")
CRF = 10


@dataclass(frozen=True, kw_only=True)
class RenderPlan:
    """What a folder of rendered videos holds; video i has seed `seed + i`."""

    family: SceneFamily
    seed: int
    num_videos: int
    num_frames: int
    size: int
    num_samples: int
    truth: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The contents of `scenes.json`."""
        known = {"version": SCENES_VERSION, "frames_per_second": FRAMES_PER_SECOND}
        defaults = {field.name: field.default for field in fields(SceneFamily)}
        # A setting that later versions add doesn't make the videos of before strangers.
        family = {name: value for name, value in asdict(self.family).items() if value != defaults[name]}
        return json.loads(json.dumps({**known, **asdict(self), "family": family}))  # type: ignore[no-any-return]


def render_dataset(
    destination: str | Path,
    *,
    family: str | SceneFamily,
    num_videos: int,
    num_frames: int = 16,
    size: int = 64,
    seed: int = 0,
    num_samples: int = 2,
    num_workers: int | None = None,
    truth: tuple[str, ...] = ("masks",),
    show_progress: bool = True,
) -> int:
    """Render videos `seed` to `seed + num_videos - 1` into `destination`; those already whole are kept.

    Returns how many videos the folder now holds, more than `num_videos` where an earlier call rendered more.

    What is drawn does not depend on the number of workers. None is one worker per core; 0 or 1 renders in this process.

    Raises:
        ConfigError: unknown family or truth, or a number out of range.
        DataError: the folder holds videos of another plan.
        OutputError: the folder can't be written.
    """
    destination = Path(destination)
    unknown = [kind for kind in truth if kind not in TRUTH_KINDS]
    if unknown or "masks" not in truth:
        raise ConfigError(f"truth must hold masks and any of {', '.join(TRUTH_KINDS[1:])}, got {', '.join(truth)}")
    if num_videos < 1:
        raise ConfigError(f"num_videos must be at least 1, got {num_videos}")
    if size % 2:
        raise ConfigError(f"size must be even, got {size}")
    check_numbers(seed=seed, num_frames=num_frames, size=size, num_samples=num_samples)
    plan = RenderPlan(
        family=find_family(family),
        seed=seed,
        num_videos=num_videos,
        num_frames=num_frames,
        size=size,
        num_samples=num_samples,
        truth=truth,
    )
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"can't write {destination}: {error.strerror or error}") from error
    with folder_lock(destination, purpose="rendering into"):
        missing = _open_folder(destination, plan)
        workers = min(num_workers if num_workers is not None else os.cpu_count() or 1, max(len(missing), 1))
        done = _render_all(destination, plan, missing, workers)
        for _ in tqdm(
            done, total=len(missing), desc=f"rendering {plan.family.name}", unit="video", disable=not show_progress
        ):
            pass
    return sum(1 for folder in destination.iterdir() if folder.is_dir() and folder.name.isdigit())


def _open_folder(destination: Path, plan: RenderPlan) -> list[int]:
    """Check or write `scenes.json`, drop half-written folders, and list the videos still to do."""
    record = destination / "scenes.json"
    wanted = plan.as_json()
    if record.exists():
        found = _read_record(record)
        differing = [key for key in wanted if key != "num_videos" and found.get(key) != wanted[key]]
        if differing:
            raise DataError(
                f"{destination} already holds videos rendered with another {', '.join(differing)}: "
                "choose an empty folder or the same settings"
            )
        wanted["num_videos"] = max(plan.num_videos, int(str(found["num_videos"])))
        if found == wanted:
            wanted = {}
    if wanted:  # a whole folder may lie where nothing can be written
        write_json(record, wanted)
    remove_leftovers(destination)
    return [index for index in range(plan.num_videos) if not (destination / f"{index:05d}").is_dir()]


def _read_record(record: Path) -> dict[str, object]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{record} should be the JSON record of rendered videos, but can't be read: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("num_videos"), int):
        raise DataError(f"{record} should be the JSON record of rendered videos, but has no num_videos")
    return found


def _render_all(destination: Path, plan: RenderPlan, missing: list[int], workers: int) -> Iterator[int]:
    if workers <= 1:
        for index in missing:
            yield render_one(destination, plan, index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent) as pool:
        pending = [pool.submit(render_one, destination, plan, index) for index in missing]
        try:
            for future in as_completed(pending):
                yield future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                f"a rendering process was killed while filling {destination}; the same command goes on from there"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it is killed (a pool's workers would wait for ever)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def render_one(destination: Path, plan: RenderPlan, index: int) -> int:
    """Render one video into its own folder: whole, or absent. Returns the index.

    Raises:
        OutputError: the folder can't be written.
    """
    video = render_video(
        plan.family,
        seed=plan.seed + index,
        num_frames=plan.num_frames,
        size=plan.size,
        num_samples=plan.num_samples,
    )
    folder = destination / f"{index:05d}"
    partial = destination / f".partial-{os.getpid()}-{folder.name}"
    with prepared_in(partial, folder):
        partial.mkdir(parents=True, exist_ok=True)
        _write_frames(partial / "video.mp4", video)
        np.savez_compressed(partial / "masks.npz", masks=video.segments)
        extra = _extra_truth(video, plan.truth)
        if extra:
            np.savez_compressed(partial / "truth.npz", **extra)
        _put_in_place(partial, folder)
    return index


def _put_in_place(partial: Path, folder: Path) -> None:
    try:
        partial.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise
        # A worker whose parent was killed came before us, and its video is the same.


def _extra_truth(video: RenderedVideo, truth: tuple[str, ...]) -> dict[str, Any]:
    arrays = {"amodal": video.amodal, "depth": video.depth, "flow": video.flow}
    return {kind: array for kind, array in arrays.items() if kind in truth}


def _write_frames(path: Path, video: RenderedVideo) -> None:
    height, width = video.frames.shape[1:3]
    with VideoWriter(path, fps=Fraction(FRAMES_PER_SECOND), width=width, height=height, crf=CRF) as writer:
        for frame in video.frames:
            writer.write(frame)
