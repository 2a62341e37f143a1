"""Folders are whole or absent, and whether a file can be written is known before the work whose result it holds."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from slotkeeper.errors import OutputError, counted
from slotkeeper.files import atomic_folder, check_writable


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


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path):
    def write(name: str, *, is_full: bool = False) -> None:
        with atomic_folder(tmp_path / "run") as folder:
            (folder / name).touch()
            if is_full:
                raise OSError(errno.ENOSPC, "No space left on device")

    write("old")
    with pytest.raises(OutputError, match=r"can't write .*run: No space left on device"):
        write("new", is_full=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "old"]
    write("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "new"]


def test_one_thing_is_not_called_by_its_plural():
    assert [counted(number, "video") for number in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]
