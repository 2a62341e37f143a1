from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import cut, noisy_frames, write_video
from PIL import Image
from sharded_videos import contents, numbered_segments, pack, write_mixed

from slotkeeper.cli import main
from slotkeeper.data.folders import find_videos
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.segments import save_segments
from slotkeeper.data.shards import finished, making, pieces
from slotkeeper.data.shards.making import make_shards
from slotkeeper.data.shards.tar import TarWriter
from slotkeeper.errors import ConfigError, DataError, OutputError


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_mixed(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "shards"
    pack(source, out)
    return out


@pytest.fixture
def copied(source, tmp_path) -> Path:
    """The same videos, that may be changed."""
    return shutil.copytree(source, tmp_path / "copied")


def read_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert all(member.isreg() and member.mode == 0o644 for member in members)
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
        return {member.name: archive.extractfile(member).read() for member in members}


def test_shards_are_tar_files_in_the_layout_of_webdataset(source, whole):
    shards = sorted(whole.glob("*.tar"))
    assert sorted(path.name for path in whole.iterdir()) == ["index.json", *(path.name for path in shards)]
    assert len(shards) > 2
    assert all(path.stat().st_size % 10240 == 0 for path in shards)
    files: dict[str, bytes] = {}
    for shard in shards:
        files |= read_tar(shard)
    by_key: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        key, _, extension = name.partition(".")
        by_key.setdefault(key, {})[extension] = content
    assert list(by_key) == [f"{number:09d}" for number in range(12)]
    samples = {json.loads(sample["json"])["id"]: sample for sample in by_key.values()}
    assert list(samples) == [item.video_id for item in find_videos(source)]
    assert samples["mp4"]["mp4"] == (source / "mp4.mp4").read_bytes()
    assert samples["mp4"]["masks.npz"] == (source / "mp4.masks.npz").read_bytes()
    assert samples["mkv"].keys() == {"mkv", "masks.npz", "json"}
    assert samples["gif"].keys() == {"gif", "json"}
    frames = [name for name in samples["frames10"] if name != "json"]
    assert frames == [f"frame-{index:06d}.png" for index in range(11)]
    assert samples["frames10"]["frame-000010.png"] == (source / "frames10" / "frame10.png").read_bytes()
    assert json.loads(samples["turned"]["json"]) == {"id": "turned", "frames": 9, "width": 48, "height": 64}


def test_the_same_videos_give_the_same_bytes(source, whole, tmp_path):
    for path in source.rglob("*.mp4"):
        os.utime(path, (1, 1))
    pack(source, tmp_path / "again", num_threads=3)
    assert contents(tmp_path / "again") == contents(whole)


def killed(action: Callable[[], object]) -> None:
    """Run something in a process that ends as if it were killed, or else with an error."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def dying_after(number: int, module: object, name: str, patch: pytest.MonkeyPatch) -> None:
    original, calls = getattr(module, name), iter(range(number))

    def call(*arguments: object, **options: object) -> object:
        if next(calls, None) is None:
            os._exit(9)
        return original(*arguments, **options)

    patch.setattr(module, name, call)


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        (TarWriter, "add", 0),
        (TarWriter, "add", 13),
        (pieces, "write_json", 2),
        (finished, "index_text", 0),
    ],
)
def test_a_set_that_was_interrupted_is_never_taken_for_whole_and_goes_on(
    module, name, number, source, whole, tmp_path, monkeypatch
):
    out = tmp_path / "shards"
    with monkeypatch.context() as patch:
        dying_after(number, module, name, patch)
        killed(lambda: pack(source, out))
    with pytest.raises(DataError, match="not all written: the same 'slotkeeper data shard' goes on"):
        find_videos(out)
    noted = {path.stem for path in (out / ".making").glob("shard-*.json")}
    before = {path: path.stat().st_ino for path in out.glob("*.tar") if path.stem in noted}
    assert len(before) == len(noted)
    assert len(pack(source, out).index.videos) == 12
    assert contents(out) == contents(whole)
    assert {path: path.stat().st_ino for path in before} == before, "whole shards are kept as they are"


def test_killed_between_the_index_and_tidying_up(source, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        dying_after(0, making.shutil, "rmtree", patch)
        killed(lambda: pack(source, tmp_path / "shards"))
    assert len(find_videos(tmp_path / "shards")) == 12
    pack(source, tmp_path / "shards")
    assert contents(tmp_path / "shards") == contents(whole)


def test_a_full_disk_is_one_sentence_and_the_command_goes_on(source, whole, tmp_path, monkeypatch):
    original, calls = TarWriter.add, iter(range(13))

    def add(tar: TarWriter, name: str, content: object) -> object:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(tar, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(TarWriter, "add", add)
        with pytest.raises(OutputError, match=r"can't write .*shard-00000\d.tar: No space left on device"):
            pack(source, tmp_path / "shards")
    assert not list((tmp_path / "shards").rglob(".partial-*"))
    pack(source, tmp_path / "shards")
    assert contents(tmp_path / "shards") == contents(whole)


def interrupted(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All shards are there, the index isn't."""
    with monkeypatch.context() as patch:
        dying_after(0, making, "write_index", patch)
        killed(lambda: pack(source, out))


@pytest.mark.parametrize("damage", ["shard", "note", "video"])
def test_what_does_not_fit_any_more_is_made_anew(damage, copied, tmp_path, monkeypatch):
    source, out = copied, tmp_path / "shards"
    interrupted(source, out, monkeypatch)
    if damage == "shard":
        content = bytearray((out / "shard-000001.tar").read_bytes())
        content[600] ^= 1
        (out / "shard-000001.tar").write_bytes(content)
    elif damage == "note":
        (out / ".making" / "shard-000001.json").write_text('{"num_items": 3}')
    else:
        write_video(source / "turned.mp4", 5)
    kept = (out / "shard-000000.tar").stat().st_ino
    pack(source, out)
    assert (out / "shard-000000.tar").stat().st_ino == kept
    pack(source, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_video_too_many_from_before_leaves_no_shard_behind(copied, tmp_path, monkeypatch):
    source, out = copied, tmp_path / "shards"
    interrupted(source, out, monkeypatch)
    num_before = len(list(out.glob("*.tar")))
    for path in source.glob("*.m*"):
        path.unlink()
    pack(source, out)
    assert len(list(out.glob("*.tar"))) < num_before
    pack(source, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_broken_videos_are_named_and_left_out(tmp_path, capsys):
    source, out = tmp_path / "source", tmp_path / "shards"
    write_video(source / "a.mp4", 9)
    cut(write_video(source / "b.mp4", noisy_frames(40)), 0.5)
    write_video(source / "c.mp4", 9)
    save_segments(source / "c.masks.npz", np.zeros((8, 48, 64), np.uint8))
    (source / "d.gif").touch()
    (source / "e").mkdir()
    Image.new("RGB", (8, 8)).save(source / "e" / "0.png")
    Image.new("RGB", (9, 8)).save(source / "e" / "1.png")
    for _ in range(2):
        assert main(["data", "shard", str(source), "--out", str(out)]) == 3
        said = capsys.readouterr()
        assert "1 video in 1 shard of together" in said.out
        for name in ("b.mp4", "c.masks.npz", "d.gif", "1.png"):
            assert name in said.err
        assert len(json.loads((out / "skipped.json").read_text())) == 4
    assert [item.video_id for item in find_videos(out)] == ["a"]


def test_skipped_videos_are_still_named_after_an_interruption(copied, tmp_path, monkeypatch):
    source = copied
    (source / "aa.mp4").touch()
    (source / "zz.mp4").touch()
    interrupted(source, tmp_path / "shards", monkeypatch)
    made = pack(source, tmp_path / "shards")
    assert [video.video_id for video in made.skipped] == ["aa", "zz"]
    assert len(made.index.videos) == 12


def test_nothing_usable_leaves_nothing_begun(tmp_path):
    (tmp_path / "source").mkdir()
    for name in "ab":
        (tmp_path / "source" / f"{name}.mp4").touch()
    with pytest.raises(DataError, match=r"none of 2 videos can be used; the first: .*a\.mp4 is empty"):
        pack(tmp_path / "source", tmp_path / "shards")
    assert not list((tmp_path / "shards").iterdir())
    with pytest.raises(DataError, match="no such file or folder"):
        pack(tmp_path / "nowhere", tmp_path / "shards")


def test_a_folder_of_something_else_is_left_alone(source, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shard-000000.tar").write_bytes(b"mine")
    with pytest.raises(OutputError, match="is not empty"):
        pack(source, tmp_path / "other")
    assert contents(tmp_path / "other") == {"shard-000000.tar": b"mine"}
    with pytest.raises(OutputError, match="not a folder"):
        pack(source, tmp_path / "other" / "shard-000000.tar")
    with pytest.raises(OutputError, match="is not empty"):
        pack(source, source)


def test_a_finished_set_is_checked_and_left(copied, tmp_path):
    source, out = copied, tmp_path / "shards"
    pack(source, out)
    before = contents(out)
    assert len(pack(source, out).index.videos) == 12
    assert contents(out) == before
    with pytest.raises(OutputError, match="shards of other videos or another size"):
        make_shards(source, out, shard_mb=2, show_progress=False)
    (out / "shard-000001.tar").rename(out / "gone")
    with pytest.raises(DataError, match=r"shard-000001\.tar is missing; remove .*shards and make it again"):
        pack(source, out)
    (out / "gone").rename(out / "shard-000001.tar")
    write_video(source / "new.mp4", 5)
    with pytest.raises(OutputError, match="shards of other videos"):
        pack(source, out)
    assert contents(out) == before


def test_begun_with_another_size(tmp_path, source, monkeypatch):
    interrupted(source, tmp_path / "shards", monkeypatch)
    with pytest.raises(DataError, match="begun with other settings"):
        make_shards(source, tmp_path / "shards", shard_mb=7, show_progress=False)
    with pytest.raises(ConfigError, match="shard_mb must be at least 1"):
        make_shards(source, tmp_path / "shards", shard_mb=0, show_progress=False)


def test_two_processes_do_not_write_into_one_folder(source, tmp_path):
    out = tmp_path / "shards"
    with pieces.making(out, {"shard_mb": 1}), pytest.raises(OutputError, match="another process is making shards"):
        pack(source, out)


def test_a_video_that_changes_while_it_is_copied(tmp_path, monkeypatch):
    source = write_video(tmp_path / "a.mp4", 9)
    original = making._write_piece

    def later(*arguments: object) -> object:
        monkeypatch.setattr("slotkeeper.data.shards.tar.content_bytes", lambda content: 17)
        return original(*arguments)

    monkeypatch.setattr(making, "_write_piece", later)
    with pytest.raises(DataError, match=r"a\.mp4 changed while it was read"):
        pack(source, tmp_path / "shards")


def test_a_large_video_has_a_shard_of_its_own_and_a_checksum_for_every_megabyte(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (650, 650, 3), dtype=np.uint8)
    for name in "abc":
        write_video(tmp_path / "source" / f"{name}.mp4", 4)
    (tmp_path / "source" / "b.mp4").unlink()
    (tmp_path / "source" / "b").mkdir()
    Image.fromarray(noise).save(tmp_path / "source" / "b" / "0.png")
    made = pack(tmp_path / "source", tmp_path / "shards")
    assert [video.shard for video in made.index.videos] == [0, 1, 2]
    assert [len(video.video[0].checksums) for video in made.index.videos] == [1, 2, 1]
    read = VideoReader(find_videos(tmp_path / "shards")[1].video).read([0])
    assert np.array_equal(read[0].pixels, noise)


def test_numbers_of_the_index_are_those_of_the_videos(whole, source):
    index = json.loads((whole / "index.json").read_text())
    assert list(index)[:2] == ["format", "version"]
    by_id = {video["id"]: video for video in index["videos"]}
    assert (by_id["turned"]["frames"], by_id["turned"]["width"], by_id["turned"]["height"]) == (9, 48, 64)
    assert len(by_id["frames10"]["video"]) == by_id["frames10"]["frames"] == 11
    for video in index["videos"]:
        shard = (whole / index["shards"][video["shard"]]["name"]).read_bytes()
        for member in video["video"]:
            head = tarfile.TarInfo.frombuf(shard[member["offset"] - 512 : member["offset"]], "utf-8", "strict")
            assert (head.name, head.size) == (member["name"], member["bytes"])


def test_time_is_not_in_the_masks_that_are_packed(tmp_path, monkeypatch):
    folder = tmp_path / "source"
    write_video(folder / "a.mp4", 3)
    (folder / "a_masks").mkdir()
    for index, labels in enumerate(numbered_segments(3, 0)):
        Image.fromarray(labels).save(folder / "a_masks" / f"{index}.png")
    pack(folder, tmp_path / "one")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    pack(folder, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
