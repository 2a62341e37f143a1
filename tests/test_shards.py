"""Shards by the command line: everything that takes a folder of videos takes them, and gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import numpy as np
import pytest
from sharded_videos import contents
from small_run import raw_config, write_squares

from slotkeeper.cli import main
from slotkeeper.config import write_yaml
from slotkeeper.data import load_segments


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares as a folder and as shards, the latter also in an object store."""
    root = tmp_path_factory.mktemp("sharded")
    write_squares(root / "videos", 3)
    assert main(["data", "shard", str(root / "videos"), "--out", str(root / "shards")]) == 0
    store = fsspec.filesystem("memory")
    for name, content in contents(root / "shards").items():
        store.pipe_file(f"/squares/{name}", content)
    return root


def train(place: str, name: str, root: Path) -> Path:
    raw = raw_config(root / "videos", steps=2, log_every=1)
    raw["data"] |= {"train": place, "val_share": 0.3}
    (root / f"{name}.yaml").write_text(write_yaml(raw))
    assert main(["train", str(root / f"{name}.yaml"), "--out", str(root / name), "--quiet"]) == 0
    return root / name


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def scores(run: Path) -> dict[str, object]:
    metrics = json.loads((run / "metrics.json").read_text())
    return {name: metrics[name] for name in ("video_fg_ari", "video_miou", "psnr", "hota", "counts")}


def test_training_evaluating_and_tracking_give_what_the_folder_gives(root: Path, capsys: pytest.CaptureFixture[str]):
    runs = [train(str(root / "videos"), "run-folder", root), train("memory://squares", "run-shards", root)]
    assert len(losses(runs[0])) == 2
    assert losses(runs[0]) == losses(runs[1])
    assert scores(runs[0]) == scores(runs[1])
    assert main(["resume", str(runs[1]), "--quiet"]) == 0
    capsys.readouterr()
    tables = []
    for place in (root / "videos", root / "shards"):
        assert main(["evaluate", str(runs[0]), str(place), "--quiet"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    for place, out in ((root / "videos", "a"), ("memory://squares", "b")):
        assert main(["track", str(place), "--model", str(runs[0]), "--out", str(root / out), "--quiet"]) == 0
    assert sorted(path.name for path in (root / "b").iterdir()) == [f"{number:03d}" for number in range(3)]
    for number in range(3):
        masks = [load_segments(root / out / f"{number:03d}" / "masks.npz") for out in "ab"]
        assert np.array_equal(*masks)


def test_addresses_may_stand_in_a_list(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "list.txt").write_text("memory://nowhere\nmemory://squares\n")
    assert main(["track", "--list", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--quiet"]) == 3
    assert "skipped: memory://nowhere has no index.json" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"000", "001", "002", "skipped.json"}


def test_inspecting_an_object_store(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "inspect", "memory://squares"]) == 0
    assert "memory://squares: 3 videos, 0 broken" in capsys.readouterr().out
    assert (tmp_path / "squares-contact-sheet.png").exists()


def test_a_damaged_shard_is_named_and_the_exit_code_tells(root: Path, tmp_path: Path, capsys):
    for name, content in contents(root / "shards").items():
        (tmp_path / name).write_bytes(content)
    shard = tmp_path / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert main(["data", "inspect", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")]) == 3
    assert f"skipped: {shard} is damaged: its SHA-256 is not the one of its index" in capsys.readouterr().err


def test_addresses_where_only_a_path_will_do(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "shard", str(root / "videos"), "--out", "s3://bucket/videos"]) == 2
    assert "--out: must be a path on this machine, got the address s3://bucket/videos" in capsys.readouterr().err
    assert main(["track", "memory://nowhere", "--out", str(root / "none")]) == 2
    assert "memory://nowhere has no index.json" in capsys.readouterr().err
