"""A conversion is whole or unfinished, goes on where it was, and never does a finished video twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public_sets import movi_example, moving_squares, write_davis, write_movi, write_palette_masks, write_pictures
from record_files import write_records
from small_disk import fill, read_only, small_disk

from slotkeeper.cli import main
from slotkeeper.data import convert_dataset, find_videos, load_segments, split_folders, split_videos
from slotkeeper.data.conversion import run
from slotkeeper.data.conversion.record import Journal, converting
from slotkeeper.data.sources.source import SourceVideo, VideoContent
from slotkeeper.errors import ConfigError, DataError, OutputError
from slotkeeper.pairing import find_masks


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_movi(tmp_path / "source", num_train=3)


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def convert(source: Path, out: Path, *, num_workers: int = 1) -> run.ConvertedDataset:
    return convert_dataset("movi_a", source, out, num_workers=num_workers, show_progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupt_after(count: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the conversion end with an error while it reads the video after `count`."""
    seen = []
    original = run.write_video_folder

    def write(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) > count:
            raise error
        return original(*arguments)

    monkeypatch.setattr(run, "write_video_folder", write)


def test_the_record_has_every_file_with_its_checksum(source: Path, tmp_path: Path):
    convert(source, tmp_path / "out")
    record = json.loads((tmp_path / "out/dataset.json").read_text())
    assert record["name"] == "movi_a"
    assert record["counts"] == {"videos": 4, "frames": 16, "skipped": 0, "train": 3, "val": 1}
    named = {f"{video['video_id']}/{file['name']}" for video in record["videos"] for file in video["files"]}
    assert named == {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*/*") if path.is_file()
    }
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"dataset.json", "train", "val"}


def test_an_interrupted_conversion_is_no_data_set_and_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(2, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            convert(source, out)
    for place in (out, out / "train"):
        with pytest.raises(DataError, match="not all converted: the same 'slotkeeper data convert' goes on"):
            find_videos(place)
        with pytest.raises(DataError, match="not all converted"):
            split_videos(place)
    with pytest.raises(DataError, match="not all converted"):
        find_masks(out)
    before = stamps(out / "train")
    assert {name.partition("/")[0] for name in before} == {"00000-000", "00000-001"}
    convert(source, out)
    assert len(find_videos(out)) == 4
    assert before.items() <= stamps(out / "train").items()  # not touched again


def test_a_video_that_lies_there_but_was_never_noted_is_done_again(source: Path, tmp_path: Path):
    out = tmp_path / "out"
    (out / ".converting").mkdir(parents=True)
    (out / "train/00000-000").mkdir(parents=True)
    (out / "train/00000-000/masks.npz").write_bytes(b"half")
    (out / ".converting/journal.jsonl").write_text('\n{"video_id": "train/00000-000", "state": "x", "fi')
    convert(source, out)
    assert load_segments(out / "train/00000-000/masks.npz").shape == (4, 16, 24)


def test_the_number_of_workers_changes_no_byte_and_no_word(source: Path, tmp_path: Path):
    shards = [f"movi_a-train.tfrecord-{number:05d}-of-00009" for number in (1, 2)]
    write_records(source / shards[0], [movi_example(video=None), movi_example(), movi_example(depth=None)])
    write_records(source / "movi_a-train.tfrecord-00001-of-00010", [movi_example(), movi_example()])
    alone = convert_twice(source, tmp_path / "alone", num_workers=1)
    assert alone == convert_twice(source, tmp_path / "together", num_workers=4)


def convert_twice(source: Path, out: Path, *, num_workers: int) -> tuple[Any, dict[str, bytes]]:
    """What was left out, and all files; the second call goes on where an interrupt stopped the first."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(2, patch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            convert(source, out, num_workers=num_workers)
        with pytest.raises(DataError, match="not all converted"):
            find_videos(out)
    assert len(Journal(out).videos) == 2
    return convert(source, out, num_workers=num_workers).skipped, contents(out)


def test_no_worker_is_too_few(source: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="num_workers must be at least 1"):
        convert(source, tmp_path / "out", num_workers=0)


def test_the_same_command_again_changes_nothing(source: Path, tmp_path: Path):
    convert(source, tmp_path / "out")
    before = stamps(tmp_path / "out")
    assert len(convert(source, tmp_path / "out").videos) == 4
    assert stamps(tmp_path / "out") == before


def test_a_damaged_video_is_done_again_by_the_same_command(source: Path, tmp_path: Path):
    out = tmp_path / "out"
    convert(source, out)
    content = (out / "train/00000-001/masks.npz").read_bytes()
    (out / "train/00000-001/masks.npz").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    before = stamps(out)
    convert(source, out)
    assert (out / "train/00000-001/masks.npz").read_bytes() == content
    changed = {name for name, stamp in stamps(out).items() if before[name] != stamp}
    assert {name.rpartition("/")[0] for name in changed} == {"", "train/00000-001"}


def test_videos_that_came_later_or_were_repaired_are_added(source: Path, tmp_path: Path):
    out, late = tmp_path / "out", source / "movi_a-train.tfrecord-00001-of-00002"
    write_records(late, [movi_example(video=None)])
    assert len(convert(source, out).skipped) == 1
    before = stamps(out / "val")
    write_records(late, [movi_example(), movi_example()])
    converted = convert(source, out)
    assert converted.skipped == ()
    assert len(find_videos(out)) == len(converted.videos) == 6
    assert stamps(out / "val") == before


def test_what_the_source_no_longer_has_stays_in_the_record(source: Path, tmp_path: Path):
    out = tmp_path / "out"
    convert(source, out)
    (source / "movi_a-validation.tfrecord-00000-of-00001").unlink()
    write_records(source / "movi_a-train.tfrecord-00001-of-00002", [movi_example()])
    assert len(convert(source, out).videos) == 5
    assert {video["video_id"] for video in json.loads((out / "dataset.json").read_text())["videos"]} == {
        item.video_id for item in find_videos(out)
    }


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_killed_process_leaves_an_unfinished_set_that_the_same_command_finishes(tmp_path: Path, num_workers: int):
    source, out = write_movi(tmp_path / "source", num_train=40), tmp_path / "out"
    command = [sys.executable, "-m", "slotkeeper", "data", "convert", "movi_a", str(source), str(out), "--quiet"]
    command += ["--workers", str(num_workers)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    while len(Journal(out).videos) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(DataError, match="not all converted"):
        find_videos(out)
    noted = Journal(out).videos
    assert 2 <= len(noted) < 41
    before = {video_id: stamps(out / video_id) for video_id in noted}
    convert(source, out, num_workers=num_workers)
    assert len(find_videos(out)) == 41
    assert {video_id: stamps(out / video_id) for video_id in noted} == before
    assert not (out / ".converting").exists()
    assert all(load_segments(str(item.masks)).shape == (4, 16, 24) for item in find_videos(out))


def test_two_conversions_into_one_folder_are_one_too_many(source: Path, tmp_path: Path):
    with converting(tmp_path / "out", "movi_a"), pytest.raises(OutputError, match="another process is converting"):
        convert(source, tmp_path / "out")


def test_a_folder_of_something_else_is_left_alone(source: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        convert(source, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="not a folder"):
        convert(source, tmp_path / "file")
    with pytest.raises(OutputError, match="lies in the source"):
        convert(source, source / "out")
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["thesis.txt"]


def test_a_record_of_endless_numbers_is_one_sentence(source: Path, tmp_path: Path):
    record = convert(source, tmp_path / "out").folder / "dataset.json"
    record.write_text(re.sub(r'"num_frames": \d+', '"num_frames": Infinity', record.read_text()))
    with pytest.raises(DataError, match=r"dataset\.json should be the record"):
        convert(source, tmp_path / "out")


@pytest.mark.parametrize("is_finished", [True, False])
def test_another_data_set_is_not_mixed_in(
    source: Path, tmp_path: Path, is_finished: bool, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        if not is_finished:
            interrupt_after(1, patch, KeyboardInterrupt())
        try:
            convert(source, tmp_path / "out")
        except KeyboardInterrupt:
            assert not is_finished
    with pytest.raises(DataError, match="movi_a"):
        convert_dataset("davis17", write_davis(tmp_path / "davis"), tmp_path / "out", show_progress=False)


def test_a_full_disk_is_one_sentence_and_nothing_half_written_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupt_after(1, monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(OutputError, match=r"can't write .*train/00000-001: No space left on device"):
        convert(source, tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out/train").iterdir()] == ["00000-000"]


@pytest.mark.parametrize("room", [2, 8, 24, 40], ids=lambda room: f"{room} KB")
def test_on_a_disk_that_is_really_full_the_command_stops_and_then_goes_on(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], room: int
):
    with small_disk(tmp_path / "disk") as disk:
        ballast = fill(disk, leaving=room * 1024)
        command = ["data", "convert", "movi_a", str(source), str(disk / "out"), "--quiet"]
        assert main(command) == 2
        (sentence,) = capsys.readouterr().err.splitlines()
        assert sentence.startswith("slotkeeper: can't write")
        assert "No space left on device" in sentence
        assert ".converting/video" not in sentence
        ballast.unlink()
        assert main(command) == 0
        assert len(find_videos(disk / "out")) == 4
        before = stamps(disk)
        with read_only(disk):
            assert main(command) == 0  # it is whole: nothing to write
        assert stamps(disk) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_t_be_written_is_one_sentence(source: Path, tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        convert(source, tmp_path / "locked/out")


def test_a_set_of_which_nothing_can_be_used_is_an_error(tmp_path: Path):
    write_records(tmp_path / "source/movi_a-train.tfrecord-00000-of-00001", [b"", b"\xff"])
    with pytest.raises(DataError, match="none of 2 videos can be used"):
        convert(tmp_path / "source", tmp_path / "out")
    assert not (tmp_path / "out/.converting").exists()


@pytest.mark.parametrize(
    "video_id",
    ["..", "a/../../b", "/etc", "", ".hidden", "a//b", "masks", "x_masks", "a\\b", "a\0b", "1/2/3/4/5", "x" * 300],
)
def test_an_id_that_leads_elsewhere_or_would_not_be_found_is_refused(video_id: str):
    video = SourceVideo(video_id=video_id, split=None, place="here", read=lambda: VideoContent())
    with pytest.raises(DataError, match="can't be the name"):
        video.path_id()


def test_two_videos_of_one_name_are_not_mixed(tmp_path: Path):
    write_records(tmp_path / "source/movi_a-train.tfrecord-00000-of-00001", [movi_example()])
    write_records(tmp_path / "source/movi_a-train.tfrecord-00000-of-00002", [movi_example()])
    converted = convert(tmp_path / "source", tmp_path / "out")
    assert len(converted.videos) == 1
    assert "is called train/00000-000 too" in converted.skipped[0][1]


def test_the_command_says_what_there_is_and_names_what_was_left_out(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert main(["data", "convert", "movi_a", str(source), str(out), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == f"4 videos of 16 frames, 4 with masks; {out / 'dataset.json'}\n"
    assert said.err == ""
    write_records(source / "movi_a-train.tfrecord-00001-of-00002", [movi_example(video=None)])
    assert main(["data", "convert", "movi_a", str(source), str(out)]) == 3
    said = capsys.readouterr()
    assert "skipped: " in said.err
    assert "converting" in said.err  # the progress bar
    (skipped,) = json.loads((out / "skipped.json").read_text())
    assert "no feature 'video'" in skipped["reason"]
    assert main(["data", "convert", "movi_x", str(source), str(out)]) == 2
    assert "there is no NAME 'movi_x'; did you mean" in capsys.readouterr().err


def test_davis_is_used_where_it_lies(tmp_path: Path):
    source = write_davis(tmp_path / "DAVIS")
    converted = convert_dataset("davis17", source, tmp_path / "out", show_progress=False)
    name = f"davis17:{source}"
    items = find_videos(name)
    assert [item.video_id for item in items] == [video.video_id for video in converted.videos]
    np.testing.assert_array_equal(load_segments(items[1].masks), moving_squares()[1])  # type: ignore[arg-type]
    sides = split_videos(Path(name))
    assert [[item.video_id for item in side] for side in sides.values()] == [["train/bear"], ["val/dogs"]]
    assert split_folders(name) == ["train", "val"]


def test_a_set_that_needs_converting_says_so(source: Path, tmp_path: Path):
    with pytest.raises(DataError, match="convert it with 'slotkeeper data convert'"):
        find_videos(f"movi_a:{source}")
    with pytest.raises(DataError, match="doesn't exist"):
        find_videos(f"davis17:{tmp_path / 'nowhere'}")


def test_masks_of_mose_are_used_where_they_cover_every_frame(tmp_path: Path):
    frames, labels = moving_squares()
    for name, count in (("whole", 4), ("first", 1)):
        write_pictures(tmp_path / "JPEGImages" / name, frames)
        write_palette_masks(tmp_path / "Annotations" / name, labels[:count])
    first, whole = find_videos(f"mose:{tmp_path}")
    assert (first.video_id, first.masks) == ("first", None)
    assert whole.masks is not None
