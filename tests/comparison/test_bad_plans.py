"""A plan with a mistake is refused in one sentence before anything trains, and nothing is written."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_plan import write_base, write_plan

from slotkeeper.cli import main
from slotkeeper.data.writer import VideoWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("plans"))


def refusal(capsys: pytest.CaptureFixture[str], plan: Path, out: Path) -> str:
    """The one sentence with which a plan is refused."""
    assert main(["compare", str(plan), "--out", str(out), "--quiet"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("slotkeeper: ")
    assert captured.err.count("\n") == 1
    assert not out.exists()
    return captured.err


def variant(**keys: Any) -> dict[str, Any]:
    return {"variants": [{"name": "other", **keys}]}


LEARNED = {"name": "learned", "set": {"model.initializer": {"name": "learned"}}}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key of a variant": (variant(sett={"seed": 1}), "no key 'variants.0.sett'; did you mean 'set'?"),
    "unknown key of the plan": ({"varaints": []}, "no key 'varaints'; did you mean 'variants'?"),
    "two variants of one name": ({"variants": [LEARNED, LEARNED]}, "two variants are named 'learned'"),
    "a variant named as the base": (variant() | {"variants": [LEARNED | {"name": "Base"}]}, "two variants are named"),
    "no seeds": ({"seeds": []}, "seeds must hold at least one"),
    "seeds left out": ({"seeds": None}, "'seeds' is missing"),
    "a seed twice": ({"seeds": [1, 1]}, "seeds must differ"),
    "a seed out of range": ({"seeds": [0, 2**40]}, "seed must be below"),
    "no variants": ({"variants": []}, "at least one variant"),
    "a variant that changes nothing": (variant(), "variant 'other' changes nothing"),
    "a name that is a path": ({"variants": [LEARNED | {"name": "../up"}]}, "it names a folder"),
    "unknown metric": ({"metrics": ["hotta"]}, "no metric 'hotta'; did you mean 'hota'?"),
    "no metrics": ({"metrics": []}, "metrics must name at least one"),
    "an override of an unknown key": (variant(set={"model.bttp": 2}), "variant 'other': "),
    "an override of the wrong type": (
        variant(set={"model.num_slots": "many"}),
        "model.num_slots must be a whole number",
    ),
    "an override into nowhere": (variant(set={"losses.7.weight": 1}), "losses.7: '7' is neither"),
    "an unknown component": (variant(set={"model.predictor": {"name": "transfomer"}}), "did you mean 'transformer'?"),
    "an unknown setting": (variant(set={"model.initializer.sigmma": 1}), "did you mean 'sigma'?"),
    "a start that isn't there": (variant(set={"training.start_from": "nowhere"}), "variant 'other': "),
    "the budget's key": (variant(set={"training.steps": 9}), "'training.steps' follows from the plan's budget"),
    "the seeds' key": ({"set": {"seed": 9}}, "'seed' follows from the plan's seeds"),
    "no budget": ({"budget": None}, "'budget' is missing"),
    "two budgets": ({"budget": {"steps": 1, "minutes": 1}}, "either 'steps' or 'minutes'"),
    "a budget of nothing": ({"budget": {"minutes": 0}}, "budget.minutes must be above 0"),
    "missing config": ({"base": "nowhere.yaml"}, "there is no config file"),
    "missing config of a variant": (variant(config="nowhere.yaml"), "there is no config file"),
    "missing training data": ({"data": {"train": "nowhere"}}, "nowhere"),
    "missing evaluation data": ({"evaluation": [{"name": "a", "path": "nowhere"}]}, "nowhere"),
    "unknown scenes": ({"evaluation": [{"name": "a", "scenes": {"family": "clvr"}}]}, "did you mean 'clevr'?"),
    "unknown key of scenes": ({"evaluation": [{"name": "a", "scenes": {"familly": "x"}}]}, "'scenes.familly'"),
    "a name that is a formula": ({"evaluation": [{"name": "=cmd()"}]}, "must begin with a letter or a digit"),
    "two evaluation sets of one name": ({"evaluation": [{"name": "a"}, {"name": "a"}]}, "name of their own"),
    "other data for a variant": (variant(set={"data.val_share": 0.5}), "has other videos than the base"),
    "a video that isn't there": ({"video": 3}, "video must be a number from 0 to 2"),
    "no such video by name": ({"video": "val/00"}, "there is no video 'val/00'"),
    "jobs": ({"jobs": 0}, "jobs must be at least 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    changes, sentence = MISTAKES[name]
    assert sentence in refusal(capsys, write_plan(folder, **changes), tmp_path / "out")


def test_a_plan_that_is_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "there is no config file" in refusal(capsys, tmp_path / "nowhere.yaml", tmp_path / "out")
    (tmp_path / "list.yaml").write_text("- a\n")
    assert "must hold keys and values" in refusal(capsys, tmp_path / "list.yaml", tmp_path / "out")


def test_held_out_videos_without_masks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "bare").mkdir()
    with VideoWriter(tmp_path / "bare" / "a.mp4", fps=Fraction(12), width=32, height=32) as writer:
        for _ in range(4):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    plan = write_plan(folder, evaluation=[{"name": "bare", "path": str(tmp_path / "bare")}])
    assert "evaluation 'bare' needs true masks" in refusal(capsys, plan, tmp_path / "out")


def test_a_folder_that_holds_something_else(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["compare", str(write_plan(folder)), "--out", str(tmp_path), "--quiet"]) == 2
    assert "holds no comparison" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]


def test_ray_that_is_not_installed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = write_plan(folder)
    assert main(["compare", str(plan), "--out", str(tmp_path / "out"), "--ray", "--quiet"]) == 2
    assert "pip install 'slotkeeper[ray]'" in capsys.readouterr().err
