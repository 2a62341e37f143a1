"""Whether a file can be written is known before the work whose result it is to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from slotkeeper.errors import OutputError, counted
from slotkeeper.files import check_writable


def test_a_file_that_can_be_written_leaves_no_trace(tmp_path: Path):
    (tmp_path / "old.json").write_text("kept")
    check_writable(tmp_path / "old.json")
    check_writable(tmp_path / "new" / "deeper" / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "kept"


@pytest.mark.parametrize("name", ["folder", "file/a.json", "a" * 250 + ".json", "b" * 300 + "/a.json"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't write"):
        check_writable(tmp_path / name)


def test_a_place_where_nothing_can_be_written():
    with pytest.raises(OutputError, match="can't write /proc/a"):
        check_writable(Path("/proc/a.json"))


def test_one_thing_is_not_called_by_its_plural():
    assert [counted(number, "video") for number in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]
