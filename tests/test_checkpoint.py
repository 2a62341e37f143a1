"""Model folders: exact round trips, and one sentence for everything that isn't one."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_run import small_config

from slotkeeper.build import build_model, load_model
from slotkeeper.checkpoint import (
    TrainingState,
    checkpoint_folder,
    keep_newest,
    list_checkpoints,
    read_training_state,
    write_model,
)
from slotkeeper.errors import CheckpointError, OutputError

CONFIG = small_config(Path("videos"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", build_model(CONFIG).state_dict(), CONFIG)
    return tmp_path / "model"


def test_weights_and_config_come_back_exactly(folder: Path):
    loaded = load_model(folder)
    weights = build_model(CONFIG).state_dict()
    assert loaded.config == CONFIG
    assert not loaded.model.training
    assert all(torch.equal(loaded.model.state_dict()[name], weights[name]) for name in weights)


def test_weights_in_another_memory_layout_come_back_exactly(tmp_path: Path):
    model = build_model(CONFIG).to(memory_format=torch.channels_last)
    write_model(tmp_path / "model", model.state_dict(), CONFIG)
    again = load_model(tmp_path / "model").model.state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())


def rewrite_facts(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


NAME = "encoder.coarse.weight"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda folder: cut(folder / "model.safetensors", 0.9), "truncated or not a safetensors file"),
    "headless": (lambda folder: cut(folder / "model.safetensors", 0.001), "truncated or not a safetensors file"),
    "empty": (lambda folder: cut(folder / "model.safetensors", 0), "truncated or not a safetensors file"),
    "foreign": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"GIF89a" + bytes(100)),
        "truncated or not a safetensors file",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "missing key": (lambda folder: rewrite_weights(folder, lambda weights: weights.pop(NAME)), f"misses {NAME}"),
    "extra key": (
        lambda folder: rewrite_weights(folder, lambda weights: weights.update(other=torch.zeros(1))),
        "has unexpected other",
    ),
    "other shape": (
        lambda folder: rewrite_weights(folder, lambda weights: weights.update({NAME: torch.zeros(1, 2)})),
        f"has other shapes for {NAME} ((1, 2) for",
    ),
    "newer": (lambda folder: rewrite_facts(folder, version=99), "install a newer slotkeeper"),
    "not ours": (lambda folder: rewrite_facts(folder, format="other"), "was not written by slotkeeper"),
    "cut json": (lambda folder: cut(folder / "model.json", 0.5), "model.json is damaged"),
    "json list": (lambda folder: (folder / "model.json").write_text("[1]"), "expected an object"),
    "config": (lambda folder: rewrite_facts(folder, config={"seed": 1}), "doesn't fit this slotkeeper"),
    "no config": (lambda folder: rewrite_facts(folder, config=None), "doesn't fit this slotkeeper"),
    "pickle": (
        lambda folder: (folder / "model.safetensors").write_bytes(pickle.dumps({"weights": 1})),
        "is a pickle, which could run any code",
    ),
    "zip": (
        lambda folder: torch.save({"weights": torch.zeros(1)}, folder / "model.safetensors"),
        "is a pickle, which could run any code",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_gives_one_sentence(folder: Path, kind: str):
    damage, expected = DAMAGE[kind]
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_are_refused_by_their_name(tmp_path: Path):
    for name in ("weights.pt", "weights.pth", "weights.pkl", "weights.ckpt"):
        (tmp_path / name).write_bytes(b"anything")
        with pytest.raises(CheckpointError, match="is a pickle"):
            load_model(tmp_path / name)


def test_places_without_a_model(tmp_path: Path):
    with pytest.raises(CheckpointError, match="there is no run or model folder"):
        load_model(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="neither"):
        load_model(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match="is a file"):
        load_model(tmp_path / "notes.txt")


def test_a_run_means_its_newest_whole_checkpoint(tmp_path: Path):
    weights = build_model(CONFIG).state_dict()
    for step in (5, 20, 100):
        write_model(checkpoint_folder(tmp_path, step), weights, CONFIG)
    # what a kill leaves: a folder under its temporary name
    checkpoint_folder(tmp_path, 100).rename(tmp_path / "checkpoints" / ".partial-1-step-00000100")
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step-00000005", "step-00000020"]
    assert load_model(tmp_path).config == CONFIG
    keep_newest(tmp_path, 1)
    assert [entry.name for entry in (tmp_path / "checkpoints").iterdir()] == ["step-00000020"]


def test_training_state_comes_back_exactly(tmp_path: Path):
    tensors = {"step/a": torch.tensor(3.0), "exp_avg/a": torch.randn(2, 3)}
    state = TrainingState(tensors=tensors, values={"step": 7, "seconds": 0.1 + 0.2, "data": {"epoch": 1}})
    write_model(tmp_path / "c", build_model(CONFIG).state_dict(), CONFIG, state)
    again = read_training_state(tmp_path / "c")
    assert again.values == state.values
    assert all(torch.equal(again.tensors[name], value) for name, value in tensors.items())


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slotkeeper.checkpoint._write_text", no_space)
    with pytest.raises(OutputError, match="No space left on device"):
        write_model(tmp_path / "model", build_model(CONFIG).state_dict(), CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="can't write"):
        write_model(tmp_path / "taken" / "model", build_model(CONFIG).state_dict(), CONFIG)


@pytest.mark.parametrize("step", [-1, 8, 1.0, True, "3", None, 10**400, float("nan")])
def test_a_step_that_a_run_can_not_be_at(step: object):
    with pytest.raises(ValueError, match="'step' must be a whole number from 0 to 7"):
        TrainingState(tensors={}, values={"step": step}).whole_number("step", most=7)
    assert TrainingState(tensors={}, values={"step": 7}).whole_number("step", most=7) == 7


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), "3", None, True])
def test_a_time_that_can_not_be(seconds: object):
    with pytest.raises(ValueError, match="'seconds' must be a number of seconds"):
        TrainingState(tensors={}, values={"seconds": seconds}).duration("seconds")
    assert TrainingState(tensors={}, values={"seconds": 2}).duration("seconds") == 2.0
