"""Runs a plan: checks everything, trains and scores what is missing, and writes the comparison."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slotkeeper.comparison.cells import Cell, read_task, read_whole_json, short_hash, training_key
from slotkeeper.comparison.outcome import outcome_of
from slotkeeper.comparison.page import write_page
from slotkeeper.comparison.plan import Plan, read_plan
from slotkeeper.comparison.pool import Ended, Room, find_room, run_side_by_side
from slotkeeper.comparison.progress import Progress
from slotkeeper.comparison.results import gather, write_csv
from slotkeeper.comparison.variants import BuiltVariant, build_variants, cell_config
from slotkeeper.comparison.videos import ComparedVideos, find_compared_videos
from slotkeeper.comparison.worker import CRASHED, UNWRITABLE, crash_result
from slotkeeper.config import Config, plain_config
from slotkeeper.errors import OutputError, TrainingError
from slotkeeper.files import atomic_path, write_json
from slotkeeper.hardware import choose_device, choose_precision
from slotkeeper.training.run_folder import locked

RESULT_FILES = ("comparison.json", "comparison.csv", "comparison.html")
_SECONDS_BETWEEN_PAGES, _PAGES_SHARE = 60.0, 0.02
"""At least so long between two pages, and at most this share of the time for them."""
_MAX_ATTEMPTS = 2
"""A process that is killed is started once more, from its last checkpoint."""


@dataclass(frozen=True, kw_only=True)
class FinishedComparison:
    """A comparison of which every cell has a result.

    comparison: as in `comparison.json`. crashed: cells without scores, and why.
    """

    folder: Path
    comparison: dict[str, Any]
    crashed: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A plan with all that was found out about it."""

    plan: Plan
    root: Path
    variants: Sequence[BuiltVariant]
    videos: ComparedVideos
    command: Sequence[str]


def compare(
    plan_file: str | Path,
    out: str | Path,
    *,
    jobs: int | None = None,
    use_ray: bool = False,
    command: Sequence[str] | None = None,
    show_progress: bool = True,
) -> FinishedComparison:
    """Train and score every cell of a plan that has no result yet, then write `RESULT_FILES` into `out`.

    Cells that crashed before are tried again; those that finished or diverged are kept. `command` is what the page
    names as its origin. The files are also written on the way, at most once a minute.

    Raises:
        ConfigError: the plan or a variant is wrong.
        DataError: videos are missing, too short, or have no masks.
        OutputError: `out` can't be written, holds something else, or another process works in it.
        TrainingError: Ctrl-C or a termination signal; what was done is kept.
    """
    root = Path(out)
    plan = read_plan(plan_file)
    variants = build_variants(plan)
    _refuse_foreign(root)
    videos = find_compared_videos(plan, variants, show_progress=show_progress)
    command = command or ("slotkeeper", "compare", str(plan_file), "--out", str(out))
    work = _Work(plan=plan, root=root, variants=variants, videos=videos, command=command)
    use_ray = use_ray or plan.ray
    with locked(root):
        (root / "cells").mkdir(exist_ok=True)
        with atomic_path(root / "plan.yaml") as partial:
            partial.write_bytes(Path(plan_file).read_bytes())
        try:
            cells = _run_all(work, jobs or plan.jobs, use_ray=use_ray, show_progress=show_progress)
        except KeyboardInterrupt:
            raise TrainingError(
                f"stopped before its end; what is done is kept in {root}, and the same command goes on from there"
            ) from None
        comparison = _write(work, cells)
    crashed = [
        (f"{cell['variant']}, seed {cell['seed']}", f"{cell['reason']}; see {root / cell['folder'] / 'log.txt'}")
        for cell in comparison["cells"]
        if cell["outcome"] == "crashed"
    ]
    return FinishedComparison(folder=root, comparison=comparison, crashed=crashed)


def _run_all(work: _Work, jobs: int | None, *, use_ray: bool, show_progress: bool) -> list[Cell]:
    cells = _cells(work)
    pending = [cell for cell in cells if outcome_of(cell.result()) in ("missing", "crashed")]
    if len(pending) < len(cells):
        print(f"{len(cells) - len(pending)} of {len(cells)} cells have a result already and are kept", flush=True)
    if not pending:
        return cells
    has_gpu = torch.cuda.is_available() and any(v.config.training.device != "cpu" for v in work.variants)
    room = find_room(jobs, len(pending), has_gpu=has_gpu)
    if work.plan.budget.minutes is not None:
        _measure(work, pending, room, use_ray=use_ray)
        cells = [_with_steps(work, cell) for cell in cells]
        pending = [_with_steps(work, cell) for cell in pending]
    for cell in pending:
        cell.write_task()
    print(f"{len(pending)} cells to run, {room.jobs} side by side, each with {room.threads} threads", flush=True)
    by_folder = {cell.folder: cell for cell in pending}
    next_page = time.monotonic() + _SECONDS_BETWEEN_PAGES
    with Progress(pending, is_shown=show_progress) as progress:
        for ended in _processes(list(by_folder), room, use_ray=use_ray):
            if ended is None:
                progress.look()
                continue
            progress.tell(by_folder[ended.folder])
            started = time.monotonic()
            if started > next_page:
                _write(work, cells)  # no cell is started meanwhile, so a page that takes long comes seldom
                took = time.monotonic() - started
                next_page = started + max(_SECONDS_BETWEEN_PAGES, took / _PAGES_SHARE)
    return cells


def _processes(folders: Sequence[Path], room: Room, *, use_ray: bool) -> Iterator[Ended | None]:
    """Run the cells in these folders; a killed one is started once more, and then has a result that says so.

    Raises:
        OutputError: one of them can't write; the others are stopped, to go on later.
    """
    waiting = deque(folders)
    attempts = dict.fromkeys(folders, 0)
    if use_ray:
        from slotkeeper.comparison.ray_pool import run_with_ray  # deferred: an extra

        ended_cells = run_with_ray(waiting, room)
    else:
        ended_cells = run_side_by_side(waiting, room)
    with closing(ended_cells):
        for ended in ended_cells:
            if ended is None:
                yield None
                continue
            if ended.code == UNWRITABLE:
                log = ended.folder / "log.txt"
                raise OutputError(f"can't write into {ended.folder}: no room, or not permitted; see {log}")
            attempts[ended.folder] += 1
            if ended.code < 0 and attempts[ended.folder] < _MAX_ATTEMPTS:
                waiting.append(ended.folder)
                continue
            task = read_task(ended.folder)
            if ended.code not in (0, CRASHED) and "result" in task:
                how = (
                    f"killed by signal {-ended.code}" if ended.code < 0 else f"its process ended with code {ended.code}"
                )
                times = f" {attempts[ended.folder]} times" if attempts[ended.folder] > 1 else ""
                write_json(ended.folder / task["result"], crash_result(task, f"{how}{times}"))
            yield ended


def _cells(work: _Work) -> list[Cell]:
    """All cells of the plan; with a budget in minutes they have no config until their steps are measured."""
    minutes = work.plan.budget.minutes
    cells = []
    for variant in work.variants:
        key = training_key(variant.config, minutes=minutes, data=work.videos.training_fingerprint)
        for seed in work.plan.seeds:
            folder = work.root / "cells" / variant.name / f"seed-{seed}-{key}"
            cell = Cell(variant=variant, seed=seed, folder=folder, scoring=work.videos.scoring)
            cells.append(cell if minutes else replace(cell, config=_final(work, variant.config, seed, None)))
    return [_with_steps(work, cell) for cell in cells] if minutes else cells


def _final(work: _Work, config: Config, seed: int, steps: int | None) -> Config:
    """A cell's config, its precision chosen once for all cells, so that none differs by how busy the machine was."""
    config = cell_config(config, seed=seed, steps=steps or config.training.steps, curve_points=work.plan.curve_points)
    own = next((item for item in work.plan.evaluation if item.path is None and item.scenes is None), None)
    evaluation = replace(config.evaluation, num_frames=own.num_frames if own else None)
    precision = config.training.precision
    if precision == "auto":
        precision = _chosen_precision(work.root, config)
    return replace(config, evaluation=evaluation, training=replace(config.training, precision=precision))


def _chosen_precision(root: Path, config: Config) -> Any:
    path = root / "choices.json"
    device = choose_device(config.training.device)
    choices = read_whole_json(path) or {}
    if device.type not in choices:
        choices[device.type] = choose_precision("auto", device)
        write_json(path, choices)
    return choices[device.type]


def _speed_folder(work: _Work, variant: BuiltVariant) -> Path:
    config = variant.config
    minutes = work.plan.budget.minutes
    key = short_hash([plain_config(replace(config, seed=0)), minutes, work.videos.training_fingerprint])
    return work.root / "cells" / variant.name / f"speed-{key}"


def _with_steps(work: _Work, cell: Cell) -> Cell:
    """With its config, once the steps that fit into the minutes are measured; the same for every seed.

    A variant that failed while it was measured gets the base's steps, and its cells tell what is wrong with it.
    """
    places = _speed_folder(work, cell.variant), _speed_folder(work, work.variants[0])
    measured = next((found for place in places if (found := read_whole_json(place / "speed.json"))), None)
    if measured is None:
        return cell
    return replace(cell, config=_final(work, cell.variant.config, cell.seed, int(measured["steps"])))


def _measure(work: _Work, pending: Sequence[Cell], room: Room, *, use_ray: bool) -> None:
    """Find out how many steps of each variant fit into the budget's minutes, with as many side by side as later.

    Raises:
        TrainingError: the base can't be measured; the sentence says where the reason stands.
    """
    minutes = work.plan.budget.minutes
    base = _speed_folder(work, work.variants[0])
    variants = {variant.name: variant for variant in (work.variants[0], *(cell.variant for cell in pending))}
    folders = {_speed_folder(work, variant): variant for variant in variants.values()}
    missing = [folder for folder in folders if not (folder / "speed.json").exists()]
    for folder in missing:
        seed = work.plan.seeds[0]
        config = _final(work, folders[folder].config, seed, None)
        task = {"variant": folders[folder].name, "seed": seed, "config": plain_config(config), "minutes": minutes}
        write_json(folder / "cell.json", task)
    if missing:
        print(f"measuring how many steps of {len(missing)} variants fit into {minutes:g} minutes", flush=True)
    for _ in _processes(missing, room, use_ray=use_ray):
        pass
    if not (base / "speed.json").exists():
        raise TrainingError(f"the base could not be trained for a few steps; see {base / 'log.txt'}")


def _write(work: _Work, cells: Sequence[Cell]) -> dict[str, Any]:
    """Write the three files from what is there; each is whole or as it was."""
    comparison = gather(
        work.plan,
        work.variants,
        cells,
        root=work.root,
        command=work.command,
        data=work.videos.describe(),
    )
    write_json(work.root / "comparison.json", comparison)
    write_csv(work.root / "comparison.csv", comparison)
    write_page(work.root / "comparison.html", comparison, cells, work.videos)
    return comparison


def _refuse_foreign(root: Path) -> None:
    """Refuse a folder that holds something other than a comparison.

    Raises:
        OutputError: it does, or it is a file.
    """
    if root.exists() and not root.is_dir():
        raise OutputError(f"can't write the comparison into {root}: it is not a folder")
    if root.is_dir() and not (root / "cells").is_dir() and any(entry.name != ".lock" for entry in root.iterdir()):
        raise OutputError(f"{root} is not empty and holds no comparison; choose another folder with --out")
