"""Settings: what is accepted, and that everything else is refused in one sentence that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_run import raw_config

from slotkeeper.config import Config, config_yaml, load_config, parse_config, read_yaml, value_at
from slotkeeper.config.schema import TrainingConfig
from slotkeeper.errors import ConfigError


@pytest.fixture
def raw() -> dict[str, Any]:
    return raw_config(Path("videos"))


def written(folder: Path, raw: dict[str, Any], *overrides: str) -> Config:
    from slotkeeper.config import write_yaml

    path = folder / "run.yaml"
    path.write_text(write_yaml(raw), encoding="utf-8")
    return load_config(path, overrides)


def test_a_config_survives_its_own_yaml(raw: dict[str, Any]):
    config = parse_config(raw, "test")
    assert parse_config(read_yaml(config_yaml(config), "again"), "again") == config


def test_settings_beside_a_name_belong_to_the_component(raw: dict[str, Any]):
    encoder = parse_config(raw, "test").model.encoder
    assert encoder.name == "cnn"
    assert encoder.settings["width"] == 16


def test_overrides_reach_sections_lists_and_components(tmp_path: Path, raw: dict[str, Any]):
    config = written(
        tmp_path, raw, "training.lr=7e-4", "losses.0.weight=2", "model.encoder.width=24", "data.size=[16, 24]"
    )
    assert config.training.lr == pytest.approx(7e-4)
    assert config.losses[0].weight == 2
    assert config.model.encoder.settings["width"] == 24
    assert config.data.size == (16, 24)


def test_a_folder_whose_name_is_a_number_can_be_quoted(tmp_path: Path, raw: dict[str, Any]):
    assert written(tmp_path, raw, 'data.train="2024"').data.train == "2024"


def test_a_number_without_a_point_and_with_an_exponent_is_a_number():
    assert read_yaml("lr: 1e-3", "test") == {"lr": 1e-3}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.stpes=3", "no key 'training.stpes'; did you mean 'steps'?"),
        ("trainig.steps=3", "no key 'trainig'; did you mean 'training'?"),
        ("data.sceens={}", "did you mean 'scenes'?"),
        ("training.steps=0", "training.steps must be at least 1, got 0"),
        ("training.steps=1.5", "training.steps must be a whole number, got 1.5"),
        ("training.steps=true", "training.steps must be a whole number, got True"),
        ("training.lr=fast", "training.lr must be a number, got 'fast'"),
        ("training.lr=.nan", "training.lr must be above 0 and finite"),
        ("training.lr=-1", "training.lr must be above 0 and finite, got -1"),
        ("training.precision=fp8", "training.precision must be 'auto' or 'fp32' or 'bf16', got 'fp8'"),
        ("training.clip_length=[[5, 2]]", "steps rising from 0"),
        ("training.clip_length=[[0, 2], [9, 4], [3, 8]]", "steps rising from 0"),
        ("training.clip_length=[[0, 0]]", "training.clip_length must be at least 1, got 0"),
        ("training.ema_decay=1", "training.ema_decay must be at least 0 and below 1, got 1"),
        ("training=3", "training must hold keys and values, got 3"),
        ("data.size=64", "data.size must be a list of 2 values, each a whole number, got 64"),
        ("data.size=[64, 4]", "data.size must be at least 8, got 4"),
        ("data.size=null", "data.size must be a list of 2 values, each a whole number, got nothing"),
        ("training.steps=null", "training.steps must be a whole number, got nothing"),
        ("data.size=[64, 100000]", "data.size must be at most 2048, got 100000"),
        ("data.augmentation.hue=2", "augmentation hue must lie between 0 and 0.5, got 2"),
        (
            "data.train=2024",
            """got 2024; text that reads as something else needs quotes: "2024" in YAML, --set data.t""",
        ),
        ("data.train=2024", """--set data.train='"2024"' in a shell"""),
        ("data.train=2024-05-01", """--set data.train='"2024-05-01"' in a shell"""),
        ("data.train=no", """--set data.train='"no"' in a shell"""),
        ("data.train=null", "data needs either 'train'"),
        ("data.scenes={family: plain}", "got both"),
        ("model.num_slots=1", "model.num_slots must be at least 2 (an object and the background), got 1"),
        ("model.encoder=cnn", "model.encoder must hold keys and values, got 'cnn'"),
        ("model.encoder={width: 3}", "'model.encoder.name' is missing"),
        ("losses=[]", "at least one loss"),
        ("losses=[{name: a}, {name: a}]", "each be named once"),
        ("losses.0.weight=-1", "weight of loss 'reconstruction' must be at least 0, got -1"),
        ("losses.7.weight=1", "'7' is neither a key of a section nor the number of a list's item"),
        ("seed=-1", "seed must be at least 0"),
        ("seed", "--set takes key=value"),
        ("training={steps: 1, steps: 2}", "key 'steps' stands twice"),
        ("seed=!!python/object/apply:os.getcwd []", "tags, anchors and aliases"),
        ("training=&a {lr: *a}", "tags, anchors and aliases"),
    ],
)
def test_what_is_wrong_is_named_in_one_sentence(tmp_path: Path, raw: dict[str, Any], override: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, raw, override)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_section_is_named(raw: dict[str, Any]):
    del raw["model"]["decoder"]
    with pytest.raises(ConfigError, match=r"'model\.decoder' is missing"):
        parse_config(raw, "test")


@pytest.mark.parametrize("text", ["- 1", "", "seed: [1", "a: 1\na: 2", "1: 2", "\x00"])
def test_files_that_are_no_config(tmp_path: Path, text: str):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        load_config(path)


def test_missing_and_unreadable_files(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no config file"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"can't read the config file .*: Is a directory$"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=r"can't read the config file .*: it is no text in UTF-8$"):
        load_config(tmp_path / "binary.yaml")


def test_a_curriculum_holds_from_its_step_on():
    clip_length = TrainingConfig(clip_length=[(0, 2), (10, 4)]).clip_length
    assert [value_at(clip_length, step) for step in (0, 9, 10, 99)] == [2, 2, 4, 4]
    assert value_at(3, 50) == 3
