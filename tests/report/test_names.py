"""Names of files that are no decent names: whole results, and nothing but text in them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from color_model import GREY, RED, color_model, draw_squares, write_h264

from slotkeeper.cli import main
from slotkeeper.track_files import track_videos
from slotkeeper.tracking import Tracker

NAMES = [
    "<script>alert(1)<",  # a name can't hold the slash of </script>, but a folder's name before it can
    "\"'><img src=x onerror=alert(1)>",
    "two\nlines\r\tand a tab",
    "\u202egnp.exe",
    "{{ 7*7 }}{% raw %}",
    "=cmd()|calc",
    "&lt;b&gt;",
    "a,b;c",
    "..",
    "-x --out",
    "%s%n$HOME`id`",
    "x" * 240,
    os.fsdecode(b"no \xff unicode"),
]


@pytest.mark.parametrize("stem", NAMES, ids=ascii)
def test_a_name_is_only_text_in_all_results(stem: str, tmp_path: Path):
    video = tmp_path / f"{stem}.mp4"
    pixels = draw_squares([(RED, 16, lambda time: (4 + time, 10))], num_frames=3, size=(48, 64))
    write_h264(tmp_path / "plain.mp4", pixels).rename(video)
    tracker = Tracker(color_model([[GREY], [RED]]), size=(48, 64), name="</script><script>alert(1)</script>")
    before = set(tmp_path.iterdir())
    summary = track_videos([video], tracker, tmp_path / "out", show_progress=False)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}
    folder = summary.tracked[0].folder
    assert folder.parent == tmp_path / "out"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "49" not in page.partition("<h1>")[2].partition("</h1>")[0]
    tracks = json.loads((folder / "tracks.json").read_text(encoding="utf-8"))
    assert tracks["videos"][0]["name"] == video.name
    rows = list(csv.reader((folder / "tracks.csv").read_text(encoding="utf-8").splitlines()))
    assert len({len(row) for row in rows}) == 1
    assert np.isfinite([[float(cell) for cell in row] for row in rows[1:]]).all()
    assert all(len(line.split(",")) == 10 for line in (folder / "mot.txt").read_text().splitlines())


def test_names_that_are_no_unicode_are_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    folder = tmp_path / os.fsdecode(b"no \xff unicode")
    folder.mkdir()
    write_h264(tmp_path / "plain.mp4", np.full((2, 64, 64, 3), 90, np.uint8)).rename(folder / "video.mp4")
    assert main(["data", "inspect", str(folder), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "no \\udcff unicode: 1 video, 0 broken" in capfd.readouterr().out
    assert main(["data", "inspect", str(tmp_path / os.fsdecode(b"\xff"))]) == 2
    assert "slotkeeper: no such file or folder: " in capfd.readouterr().err
