"""Tracks many videos on Ray; what is finished stays finished, whenever the driver is killed and started again."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from slotkeeper.build import load_model
from slotkeeper.checkpoint import find_model, is_shipped, model_fingerprint
from slotkeeper.cluster.ledger import FINAL_STATES, LEDGER_FILE, MAX_ATTEMPTS, Ledger, VideoRecord, open_ledger
from slotkeeper.cluster.results_folder import is_whole, move_into_place, running_folder, tidy
from slotkeeper.cluster.summary import ClusterSummary, skipped_videos
from slotkeeper.cluster.tasks import Attempt, Died, Ended, make_task, most_in_flight, run_attempts, running_ray
from slotkeeper.cluster.worker import TrackingJob
from slotkeeper.data.media import MediaPath, path_or_url
from slotkeeper.data.skipped import SkippedVideo
from slotkeeper.data.stream import STANDARD_INPUT
from slotkeeper.errors import ConfigError, DataError, VideoError
from slotkeeper.files import LOCK_FILE, locked_folder
from slotkeeper.hardware import choose_device
from slotkeeper.ray_library import import_ray
from slotkeeper.report import DEFAULT_MAX_FRAMES
from slotkeeper.result_names import SKIPPED_FILE, name_results
from slotkeeper.staging import check_apart
from slotkeeper.track_files import TrackedVideo, say_skipped, write_skipped
from slotkeeper.track_inputs import find_inputs
from slotkeeper.tracking import TrackingRules

HOPELESS = 10
"""So many attempts that all die, before any video succeeds, are the fault of the machines rather than of the videos."""
Device = Literal["auto", "cpu", "cuda"]


def track_on_cluster(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    model: str | Path = "default",
    address: str | None = None,
    jobs: int | None = None,
    device: Device = "auto",
    is_retry: bool = False,
    report_frames: int = DEFAULT_MAX_FRAMES,
    show_progress: bool = True,
) -> ClusterSummary:
    """Track videos side by side on Ray; each gets the files that `slotkeeper.track_files.track_videos` would write.

    `out/cluster.jsonl` says at any time what became of each video, see `slotkeeper.cluster.ledger`. Called again with
    the same `out`, only what isn't finished is done. All machines must see `out` and the videos at the same paths.

    Args:
        paths: video files, folders of frames, or folders of videos.
        out: a folder; made if missing.
        model: a run, a model folder, or "default".
        address: of a Ray cluster; None starts Ray on this machine, if it doesn't run in this process.
        jobs: videos at a time; None uses every core.
        device: "auto" takes GPUs where Ray has some.
        is_retry: try again what was skipped, crashed, or tracked only in part.
        report_frames: frames of each video that its report holds.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: Ray is missing or can't be reached, the device is missing, or the model needs a start.
        CheckpointError: there is no such model, or a machine sees another one.
        VideoError: none of the videos could be read.
        DataError: `out` holds results of another model, its ledger is damaged, or every attempt dies.
        OutputError: `out` can't be written, or another process tracks into it.
    """
    began = time.perf_counter()
    ray = import_ray("tracking on a cluster", "leave --cluster out")
    job = _describe_job(model, report_frames)
    target = Path(out).resolve()
    places, unfound = find_inputs([path_or_url(path) for path in paths])
    videos = _files(places)
    lock = locked_folder(target, busy=f"another process is tracking into {out}")
    with lock, open_ledger(target, _identity(job)) as ledger:
        named = _enter(videos, ledger, target, is_retry=is_retry)
        earlier = frozenset(name for name in named.values() if ledger.records[name].is_final)
        for known in (*unfound, *skipped_videos([ledger.records[name] for name in named.values()], target)):
            say_skipped(known)
        if len(earlier) < len(named):
            with running_folder(target) as folder, running_ray(ray, address=address, jobs=jobs):
                job = replace(job, device=_choose_device(ray, device, address))
                driver = _Driver(ray, job, ledger, target, folder, jobs=jobs)
                driver.run(named, show_progress=show_progress)
        records = tuple(ledger.records[name] for name in named.values())
        skipped = (*unfound, *skipped_videos(records, target))
        write_skipped(target / SKIPPED_FILE, skipped)
    if not any(record.state in ("done", "crashed") for record in records):
        raise VideoError(f"no video could be read; the reasons stand in {Path(out) / SKIPPED_FILE}")
    seconds = time.perf_counter() - began
    return ClusterSummary(records=records, skipped=skipped, earlier=earlier, seconds=seconds)


def _files(places: Sequence[MediaPath]) -> list[Path]:
    """The same, once it is known that other machines can open them."""
    for place in places:
        if not isinstance(place, Path) or place == STANDARD_INPUT:
            what = "a stream" if place == STANDARD_INPUT else f"{place}, which is neither"
            raise ConfigError(f"tracking on a cluster takes video files and folders of videos, got {what}")
    return [place for place in places if isinstance(place, Path)]


def _describe_job(model: str | Path, report_frames: int) -> TrackingJob:
    folder = find_model(model)
    if load_model(folder).model.initializer.needs_start:
        raise ConfigError("this model needs a start for each video, which tracking on a cluster doesn't take")
    return TrackingJob(
        model=str(model) if is_shipped(model) else str(folder.resolve()),
        model_name=str(model),
        fingerprint=model_fingerprint(folder),
        device="cpu",
        report_frames=report_frames,
        places=tuple(str(Path(place or ".").resolve()) for place in sys.path),
    )


def _identity(job: TrackingJob) -> dict[str, Any]:
    """What all results in one folder have in common."""
    settings = {"rules": asdict(TrackingRules()), "report_frames": job.report_frames}
    return {"model": job.fingerprint, "model_name": job.model_name, "settings": settings}


def _choose_device(ray: Any, wanted: Device, address: str | None) -> Literal["cpu", "cuda"]:
    """On a cluster what its machines have counts, else what this one has."""
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    if wanted == "cuda" and not has_gpu:
        raise ConfigError("device 'cuda' was asked for, but Ray knows of no GPU; use 'auto' or 'cpu'")
    if wanted == "auto" and address is None:
        return "cuda" if has_gpu and choose_device("auto").type == "cuda" else "cpu"
    return "cuda" if wanted != "cpu" and has_gpu else "cpu"


def _enter(videos: Sequence[Path], ledger: Ledger, target: Path, *, is_retry: bool) -> dict[Path, str]:
    """The name of each video; new ones are written down, and so is what must be done again."""
    tidy(target)
    known = {Path(record.path): record.name for record in ledger.records.values()}
    names = name_results(videos, known=known, reserved=(LEDGER_FILE, LOCK_FILE))
    check_apart(names.items(), target)
    named = {path: names[path] for path in videos if path in names}
    fresh = []
    for path, name in named.items():
        record = ledger.records.get(name)
        is_lost = record is not None and record.state == "done" and not is_whole(target / name)
        if is_lost:
            tqdm.write(f"tracked again, since its results are gone or not whole: {path}", file=sys.stderr)
        if record is None or is_lost or (is_retry and record.reason is not None):
            fresh.append(VideoRecord(name=name, path=str(path.resolve())))
    if fresh:
        ledger.add(*fresh)
    return named


class _Driver:
    """Hands videos to Ray, writes down what becomes of them, and moves results to their place."""

    def __init__(
        self, ray: Any, job: TrackingJob, ledger: Ledger, target: Path, folder: Path, *, jobs: int | None
    ) -> None:
        self._ray = ray
        self._job = job
        self._ledger = ledger
        self._target = target
        self._stagings: Iterator[Path] = (folder / str(number) for number in itertools.count(1))
        self._jobs = jobs
        self._num_died = 0
        self._has_lived = False

    def run(self, named: Mapping[Path, str], *, show_progress: bool) -> None:
        """Track what isn't finished. What was under way when a driver died comes last: it may have been the reason."""
        records = self._ledger.records
        open_ones = [(path.absolute(), records[name]) for path, name in named.items() if not records[name].is_final]
        open_ones.sort(key=lambda item: item[1].state == "started")
        waiting = deque(self._attempt(path, record) for path, record in open_ones)
        task = make_task(self._ray, self._job)
        counts = Counter(records[name].state for name in named.values() if records[name].is_final)
        bar = tqdm(total=len(named), initial=counts.total(), unit="video", disable=not show_progress)
        running = run_attempts(
            self._ray,
            lambda attempt: self._start(attempt, task),
            waiting,
            lambda: most_in_flight(self._ray, self._job, self._jobs),
        )
        with bar, closing(running):
            for ended in running:
                record = self._settle(ended)
                if record.is_final:
                    counts[record.state] += 1
                    bar.set_postfix({state: counts[state] for state in FINAL_STATES}, refresh=False)
                    bar.update()
                else:
                    waiting.append(self._attempt(ended.attempt.path, record))

    def _attempt(self, path: Path, record: VideoRecord) -> Attempt:
        died = record.attempt if record.state == "retrying" else max(0, record.attempt - 1)
        return Attempt(name=record.name, path=path, staging=next(self._stagings), number=died + 1)

    def _start(self, attempt: Attempt, task: Any) -> Any:
        known = self._ledger.records[attempt.name]
        started = VideoRecord(name=known.name, path=known.path, state="started", attempt=attempt.number)
        self._ledger.add(started, is_durable=False)
        return task(attempt)

    def _settle(self, ended: Ended) -> VideoRecord:
        """Write down how an attempt ended; results are moved after that, see `results_folder`."""
        record = _after(ended, self._ledger.records[ended.attempt.name], self._target)
        trace = ended.outcome.trace if isinstance(ended.outcome, Died) else None
        self._ledger.add(record, notes={"trace": trace} if trace else None)
        if record.state == "done":
            move_into_place(self._target, record)
        if record.is_final and record.reason is not None:
            say_skipped(SkippedVideo(path=ended.attempt.path, reason=record.reason))
        if isinstance(ended.outcome, Died):
            self._count_death(ended.attempt.path, ended.outcome)
        else:
            self._has_lived = True
        return record

    def _count_death(self, path: Path, died: Died) -> None:
        self._num_died += 1
        if self._num_died >= HOPELESS and not self._has_lived:
            raise DataError(
                f"the first {HOPELESS} attempts all died, so the machines are at fault rather than the videos; "
                f"the last one, {path}: {died.reason}"
            )


def _after(ended: Ended, known: VideoRecord, target: Path) -> VideoRecord:
    outcome, attempt = ended.outcome, ended.attempt
    record = VideoRecord(name=known.name, path=known.path, attempt=attempt.number)
    if isinstance(outcome, TrackedVideo):
        return replace(
            record,
            state="done",
            reason=outcome.problem,
            results=str((attempt.staging / attempt.name).relative_to(target)),
            num_frames=outcome.num_frames,
            num_objects=outcome.num_objects,
            seconds=round(outcome.seconds, 3),
        )
    if isinstance(outcome, SkippedVideo):
        return replace(record, state="skipped", reason=outcome.reason)
    if attempt.number < MAX_ATTEMPTS:
        tqdm.write(f"tried once more: {attempt.path}: {outcome.reason}", file=sys.stderr)
        return replace(record, state="retrying", reason=outcome.reason)
    given_up = f"{attempt.path}: given up after {MAX_ATTEMPTS} attempts, the last one: {outcome.reason}"
    return replace(record, state="crashed", reason=given_up)
