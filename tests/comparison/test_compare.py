"""Whole comparisons: whatever ends a cell or all of them, no finished result is lost or made twice."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import types
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import Browser, find_chromium
from small_plan import write_base, write_plan

from slotkeeper.cli import main
from slotkeeper.comparison import RESULT_FILES, compare, ray_pool, run
from slotkeeper.comparison.pool import KILLED, Ended, Room, find_room
from slotkeeper.comparison.worker import work
from slotkeeper.errors import OutputError, TrainingError

PLAIN = {"name": "reconstruction"}


def with_loss(name: str) -> dict[str, Any]:
    return {"name": name.lower(), "set": {"losses": [{"name": f"odd_losses:{name}"}]}}


def results_of(out: Path) -> dict[Path, tuple[int, bytes]]:
    """Every result file, when it was written, and what it says."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("cells/*/*/result-*.json")}


def read(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "comparison.json").read_text()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison in which everything that can happen to a cell has happened."""
    variants = [
        {"name": "learned", "about": "one <script>start</script>", "set": {"model.initializer": {"name": "learned"}}},
        *(with_loss(name) for name in ("NotFinite", "Killing", "Failing")),
    ]
    plan = write_plan(
        folder, variants=variants, evaluation=[{"name": "own"}, {"name": "again", "path": str(folder / "val")}]
    )
    out = tmp_path_factory.mktemp("done") / "out"
    assert main(["compare", str(plan), "--out", str(out), "--quiet"]) == 3
    return out


def test_every_way_to_end_is_a_result(done: Path):
    outcomes = {(cell["variant"], cell["seed"]): cell for cell in read(done)["cells"]}
    assert len(outcomes) == 10
    for seed in (0, 1):
        assert outcomes["base", seed]["outcome"] in ("finished", "collapsed")
        assert outcomes["notfinite", seed]["outcome"] == "diverged"
        assert "became nan at step 4" in outcomes["notfinite", seed]["reason"]
        assert outcomes["killing", seed]["outcome"] == "crashed"
        assert outcomes["killing", seed]["reason"] == "killed by signal 9 2 times"
        assert outcomes["failing", seed]["reason"] == "IndexError: a bug of the loss's author"
        assert outcomes["failing", seed]["scores"] == {}
    assert "Traceback" in (done / outcomes["failing", 0]["folder"] / "log.txt").read_text()


def test_what_a_plan_says_is_only_text_on_the_page(done: Path):
    page = (done / "comparison.html").read_text()
    assert "one &lt;script&gt;start&lt;/script&gt;" in page
    assert "<script>start" not in page


def test_a_model_that_needs_a_start_is_shown_with_the_true_one(folder: Path, tmp_path: Path):
    given = {"name": "given", "set": {"model.initializer": {"name": "conditional"}}}
    plan = write_plan(folder, variants=[given], seeds=[0])
    assert main(["compare", str(plan), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(list((tmp_path / "out" / "cells" / "given").glob("*/tracked-*.npz"))) == 1


def test_the_comparison_holds_scores_differences_ranks_and_costs(done: Path):
    comparison = read(done)
    base, learned, diverged = comparison["variants"][:3]
    assert [variant["name"] for variant in comparison["variants"]][:2] == ["base", "learned"]
    assert comparison["metrics"][:4] == ["slot_permanence", "id_switches", "hota", "reacquisition"]
    assert set(comparison["sets"]) == {"own", "again"}
    for name in ("own", "again"):
        score = learned["scores"][name]["video_miou"]
        values = [score["by_seed"][seed] for seed in ("0", "1")]
        assert score["mean"] == pytest.approx(sum(values) / 2)
        other = [base["scores"][name]["video_miou"]["by_seed"][seed] for seed in ("0", "1")]
        assert score["difference"]["mean"] == pytest.approx((sum(values) - sum(other)) / 2)
        assert score["difference"]["low"] <= score["difference"]["mean"] <= score["difference"]["high"]
        assert base["scores"][name]["video_miou"]["difference"] is None
        assert {row["scores"][name]["video_miou"]["rank"] for row in (base, learned)} <= {1, 2}
        assert diverged["scores"][name]["video_miou"]["rank"] is None
    assert base["scores"]["own"]["video_miou"]["mean"] == base["scores"]["again"]["video_miou"]["mean"]
    assert diverged["outcome"] == "2 of 2 seeds collapsed (2 diverged)"
    assert learned["cost"]["steps"] == {"mean": 6, "least": 6, "most": 6}
    assert learned["cost"]["train_seconds"]["mean"] > 0
    assert learned["num_parameters"] != 0
    assert learned["changes"]["model.initializer.name"] == ["gaussian", "learned"]
    (first, *_) = comparison["cells"]
    assert [step for step, _ in first["curves"]["loss"]] == [2, 4, 6]
    assert len(first["per_video"]["own"]["hota"]) == len(comparison["sets"]["own"]["videos"]) == 3
    assert "seeds" not in comparison["sets"]["own"]["protocol"]
    assert comparison["command"].startswith("slotkeeper compare ")


def test_the_table_has_a_row_per_cell_and_set(done: Path):
    with (done / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 + 6
    assert {row["set"] for row in rows} == {"own", "again", ""}
    assert all(row["slot_permanence"] for row in rows if row["set"])


def test_the_page_loads_nothing_and_escapes_names(done: Path):
    page = (done / "comparison.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<canvas") == 4  # video, truth, base, learned
    for word in ("data:video/mp4;base64,", "slotkeeper compare", "2 of 2 seeds crashed", "per video", "processor"):
        assert word in page


@pytest.mark.skipif(find_chromium() is None, reason="needs chromium: apt-get install chromium")
def test_the_page_shows_every_tile_and_complains_of_nothing(done: Path):
    light = (
        "[...document.querySelectorAll('.tiles canvas')]"
        ".map((tile) => tile.getContext('2d').getImageData(9, 9, 1, 1).data[0])"
    )
    with Browser(width=400) as browser:
        browser.open(done / "comparison.html")
        browser.wait_for("document.body.dataset.frame === '0' && !document.getElementById('clip').seeking")
        browser.evaluate("document.getElementById('forward').click()")
        browser.wait_for("document.body.dataset.frame === '1'")
        assert all(value > 20 for value in browser.evaluate(light))
        assert browser.evaluate("document.documentElement.scrollWidth") <= 400
        assert not [message for message in browser.messages if message["method"] == "Runtime.exceptionThrown"]


def test_again_keeps_what_is_done_and_tries_the_crashed(
    done: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The plan changes: one variant goes, one comes, one has another setting; the others' results stay as they are."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = results_of(out)
    asked: list[str] = []
    monkeypatch.setattr(run, "run_side_by_side", in_this_process(asked))
    variants = [
        {"name": "learned", "set": {"model.initializer": {"name": "learned", "sigma": 0.5}}},
        with_loss("NotFinite"),
        {"name": "mild", "set": {"losses": [PLAIN], "training.lr": 1e-4}},
    ]
    compare(write_plan(folder, variants=variants, seeds=[0], metrics=["psnr", "hota"]), out, show_progress=False)
    assert [Path(place).parent.name for place in asked] == ["base", "learned", "notfinite", "mild"]
    assert all(results_of(out)[path] == entry for path, entry in before.items())
    asked.clear()
    comparison = compare(folder / "plan.yaml", out, show_progress=False).comparison
    assert asked == []
    assert comparison["metrics"] == ["hota", "psnr"]


def in_this_process(asked: list[str]) -> Any:
    """What runs cells, without processes."""

    def run_side_by_side(waiting: Any, room: Room) -> Iterator[Ended | None]:
        while waiting:
            folder = waiting.popleft()
            asked.append(str(folder))
            yield Ended(folder=folder, code=work(folder))

    return run_side_by_side


def test_a_budget_in_minutes_is_measured_and_every_seed_gets_the_same_steps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "run_side_by_side", in_this_process([]))
    plan = write_plan(folder, budget={"minutes": 0.005}, set={"training.clip_length": [[0, 2], [3, 3]]})
    comparison = compare(plan, tmp_path / "out", show_progress=False).comparison
    for variant in comparison["variants"]:
        (speed,) = (tmp_path / "out" / "cells" / variant["name"]).glob("speed-*/speed.json")
        measured = json.loads(speed.read_text())
        assert [stage["clip_length"] for stage in measured["measured"]] == [2, 3]
        assert variant["cost"]["steps"] == {name: measured["steps"] for name in ("mean", "least", "most")}
    assert comparison["budget"] == {"minutes": 0.005}


def test_a_full_disk_ends_a_comparison_and_is_no_result_of_a_cell(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> None:
        raise OutputError("can't write the checkpoint: No space left on device")

    monkeypatch.setattr(run, "run_side_by_side", in_this_process([]))
    plan = write_plan(folder, seeds=[0])
    with monkeypatch.context() as patch:
        patch.setattr("slotkeeper.comparison.worker.train", full)
        with pytest.raises(OutputError, match=r"can't write into .*base.*: no room, or not permitted; see .*log\.txt"):
            compare(plan, tmp_path / "out", show_progress=False)
    assert not results_of(tmp_path / "out")
    assert not compare(plan, tmp_path / "out", show_progress=False).crashed
    assert len(results_of(tmp_path / "out")) == 2


def test_ctrl_c_says_how_to_go_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(run, "run_side_by_side", interrupted)
    with pytest.raises(TrainingError, match="the same command goes on from there"):
        compare(write_plan(folder), tmp_path / "out", show_progress=False)


def _compare_in_child(plan: Path, out: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    compare(plan, out, jobs=1, show_progress=False)


def test_killed_half_way_and_resumed_loses_and_repeats_nothing(tmp_path: Path):
    folder = write_base(tmp_path)
    plan, out = write_plan(folder, budget={"steps": 150}), tmp_path / "out"  # no cell ends before it notices
    child = multiprocessing.get_context("fork").Process(target=_compare_in_child, args=(plan, out))
    child.start()
    give_up = time.monotonic() + 240
    while not _is_half_way(out):
        assert time.monotonic() < give_up
        assert child.is_alive()
        time.sleep(0.01)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    before = results_of(out)
    (begun,) = [path for path in out.glob("cells/*/*/run") if not list(path.parent.glob("result-*"))]
    assert 1 <= len(before) < 4
    finished = compare(plan, out, jobs=2, show_progress=False)
    after = results_of(out)
    assert len(after) == 4
    assert all(after[path] == entry for path, entry in before.items())
    assert {cell["steps"] for cell in finished.comparison["cells"]} == {150}
    first_steps = sorted(int(path.name.rpartition(".")[2]) for path in begun.glob("events.out.tfevents.*"))
    assert len(first_steps) == 2  # it went on from a checkpoint
    assert first_steps[0] == 0 < first_steps[1]
    assert {path.name for path in out.iterdir()} >= set(RESULT_FILES)


def _is_half_way(out: Path) -> bool:
    """One cell is finished, and the next has trained some steps."""
    begun = [path for path in out.glob("cells/*/*/run") if not list(path.parent.glob("result-*"))]
    return bool(results_of(out)) and any(_last_step(path) >= 10 for path in begun)


def _last_step(folder: Path) -> int:
    log = folder / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)


class _Ray(types.ModuleType):
    """As much of Ray as is used here; tasks run at once, in this process."""

    class exceptions:  # noqa: N801
        RayError = RuntimeError

    def __init__(self) -> None:
        super().__init__("ray")
        self.events: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: object) -> None:
        self.events.append("init")

    def shutdown(self) -> None:
        self.events.append("shutdown")

    def remote(self, **options: object) -> Any:
        def decorate(function: Any) -> Any:
            self.events.append(f"{options}")
            return types.SimpleNamespace(remote=lambda *values: (function, values))

        return decorate

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        function, values = reference
        if values[0].endswith("lost"):
            raise RuntimeError("a machine is gone")
        return function(*values)


def test_ray_runs_each_cell_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ray = _Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_pool, "_command", lambda folder: [sys.executable, "-c", "import os; os._exit(4)", folder])
    ended = list(ray_pool.run_with_ray(deque([tmp_path / "there", tmp_path / "lost"]), Room(jobs=1, threads=2)))
    assert ended == [Ended(folder=tmp_path / "there", code=4), Ended(folder=tmp_path / "lost", code=KILLED)]
    assert ray.events == ["init", "{'num_cpus': 2, 'max_retries': 0}", "shutdown"]


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert find_room(4, 10, has_gpu=False) == Room(jobs=4, threads=2)
    assert find_room(None, 2, has_gpu=False) == Room(jobs=2, threads=4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(5.1e9), int(8e9)))
    assert find_room(None, 10, has_gpu=True) == Room(jobs=2, threads=4)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert find_room(2, 10, has_gpu=False) == Room(jobs=2, threads=1)
