"""Shards and indexes as a stranger might make them: refused in one sentence, or harmless."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numbered_videos import noisy_frames, write_video
from sharded_videos import contents, pack

from slotkeeper.data import find_videos, load_segments
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.shards.tar import TarWriter
from slotkeeper.errors import DataError, VideoError


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("made")
    write_video(root / "source" / "clip.mp4", 4)
    pack(root / "source", root / "shards")
    return contents(root / "shards")


def changed(made: dict[str, bytes], folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    index = json.loads(made["index.json"])
    change(index)
    for name, content in (made | {"index.json": json.dumps(index).encode()}).items():
        (folder / name).write_bytes(content)
    return folder


def placing(*keys: str | int, value: object) -> Callable[[dict[str, Any]], object]:
    def change(index: Any) -> None:
        for key in keys[:-1]:
            index = index[key]
        index[keys[-1]] = value

    return change


MEMBER = ("videos", 0, "video", 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (placing("version", value=2), "its version must be 1, got 2"),
        (placing("version", value=None), "its version must be 1, got null"),
        (placing("shards", value=[]), r"it\.shards must be a list that is not empty"),
        (placing("videos", value={}), r"it\.videos must be a list that is not empty"),
        (placing("block_bytes", value=1), "block_bytes must lie in"),
        (placing("block_bytes", value=2**40), "block_bytes must lie in"),
        (placing("splits", value=["test"]), "splits must be any of train, val"),
        (placing("splits", value=[["train"]]), "splits must be any of train, val"),
        *[
            (placing("shards", 0, "name", value=name), r"shards\.0\.name must be a text like")
            for name in (
                "../shard.tar",
                "/etc/shard.tar",
                "a/b.tar",
                "s3://b/x.tar",
                "file:x.tar",
                "",
                ".tar",
                "x\n.tar",
            )
        ],
        (placing("shards", 0, "name", value=5), r"shards\.0\.name must be a text"),
        (placing("shards", 0, "bytes", value=-1), r"shards\.0\.bytes must be a whole number"),
        (placing("shards", 0, "sha256", value="0" * 63), r"shards\.0\.sha256 must be"),
        (placing("videos", 0, "shard", value=1), r"videos\.0\.shard must be below 1, got 1"),
        (placing("videos", 0, "shard", value=-1), r"videos\.0\.shard must be a whole number from 0 on"),
        (placing("videos", 0, "frames", value=True), r"videos\.0\.frames must be a whole number from 1 on, got true"),
        (placing("videos", 0, "width", value=0), r"videos\.0\.width must be a whole number from 1"),
        (placing("videos", 0, "is_folder", value="no"), r"videos\.0\.is_folder must be true or false"),
        *[
            (placing("videos", 0, "id", value=name), r"videos\.0\.id must be a")
            for name in ("", "..", "../up", "/root", "a//b", "a/./b", "a\0b", 7)
        ],
        (placing("videos", 0, value=[]), r"videos\.0 must hold keys and values"),
        (placing("videos", 0, value={}), r"videos\.0 has no 'id'"),
        (placing(*MEMBER, "offset", value=-512), r"offset must be a whole number from 0 on, got -512"),
        (placing(*MEMBER, "offset", value=2**63), r"offset must be a whole number"),
        (placing(*MEMBER, "offset", value=512.0), r"offset must be a whole number from 0 on, got 512\.0"),
        (placing(*MEMBER, "offset", value=2**40), r"videos\.0\.video\.0 reaches byte \d+ of a shard of 10240 bytes"),
        (placing(*MEMBER, "bytes", value=2**40), r"reaches byte \d+ of a shard of 10240 bytes"),
        (placing(*MEMBER, "crc32", value=[]), "must have one checksum for every 1048576 bytes, got 0"),
        (placing(*MEMBER, "crc32", value=[5]), "must be texts of eight hexadecimal digits"),
        (placing(*MEMBER, "crc32", value=["0x00000a"]), "must be texts of eight hexadecimal digits"),
        (placing(*MEMBER, "name", value="../evil.mp4"), r"videos\.0\.video\.0\.name must be a text like"),
        (placing(*MEMBER, "name", value="0.a/b.mp4"), r"videos\.0\.video\.0\.name must be a text like"),
        (placing("videos", 0, "masks", value="x"), r"videos\.0\.masks must hold keys and values"),
        (lambda index: index["videos"].append(index["videos"][0]), "a video is named twice"),
        (lambda index: index["shards"].append(index["shards"][0]), "a shard is named twice"),
        (lambda index: index["videos"][0]["video"].append(index["videos"][0]["video"][0]), "where there are 2 files"),
    ],
)
def test_an_index_that_points_where_it_may_not(change, sentence, made, tmp_path):
    with pytest.raises(DataError, match=rf"index\.json can't be used: .*{sentence}"):
        find_videos(changed(made, tmp_path, change))


@pytest.mark.parametrize("tail", ["", "[" * 100_000, '"videos": ', "\0"])
def test_an_index_that_is_no_json(tail, made, tmp_path):
    (tmp_path / "index.json").write_text('{"format": "slotkeeper-shards", ' + tail)
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        find_videos(tmp_path)


def test_a_wrong_offset_gives_no_other_bytes(made, tmp_path):
    items = find_videos(changed(made, tmp_path, placing(*MEMBER, "offset", value=0)))
    with pytest.raises(VideoError, match=r"shard-000000\.tar:clip\.mp4 is damaged: the shard shard-000000\.tar holds"):
        VideoReader(items[0].video)


def test_a_shard_shorter_than_its_index_says(made, tmp_path):
    folder = changed(made, tmp_path, lambda index: None)
    (folder / "shard-000000.tar").write_bytes(made["shard-000000.tar"][:900])
    with pytest.raises(VideoError, match=r"clip\.mp4 can't be read: the shard shard-000000\.tar ends too soon"):
        VideoReader(find_videos(folder)[0].video)


def test_a_folder_or_a_pipe_in_place_of_a_shard_is_no_shard(made, tmp_path):
    folder = changed(made, tmp_path, lambda index: None)
    (folder / "shard-000000.tar").unlink()
    (folder / "shard-000000.tar").mkdir()
    with pytest.raises(VideoError, match=r"the shard shard-000000\.tar is missing"):
        VideoReader(find_videos(folder)[0].video)


def entry(name: str, kind: bytes, target: str = "", content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_and_names_that_climb_are_never_followed(kind, made, tmp_path):
    """Only the bytes that the index tells of are read, whatever stands before them; nothing is written."""
    secret = write_video(tmp_path / "secret.mp4", 6)
    outside, folder = tmp_path / "evil.mp4", tmp_path / "shards"
    folder.mkdir()
    video = made["shard-000000.tar"]
    member = json.loads(made["index.json"])["videos"][0]["video"][0]
    video = video[member["offset"] : member["offset"] + member["bytes"]]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, content in (
            entry("000000000.mp4", kind, str(secret)),
            entry("../evil.mp4", tarfile.REGTYPE, content=video),
            entry(str(outside), tarfile.REGTYPE, content=video),
            entry("000000001.mp4", tarfile.REGTYPE, content=video),
        ):
            archive.addfile(info, io.BytesIO(content))
    shard = packed.getvalue()
    with tarfile.open(fileobj=io.BytesIO(shard)) as archive:
        offsets = [info.offset_data for info in archive.getmembers()]

    def change(index: dict[str, Any]) -> None:
        index["shards"][0]["bytes"] = len(shard)
        honest = index["videos"][0]
        honest["video"][0]["offset"] = offsets[3]
        at_link = json.loads(json.dumps(honest)) | {"id": "link"}
        at_link["video"][0] |= {"offset": offsets[0], "bytes": 0, "crc32": []}
        index["videos"].append(at_link)

    items = find_videos(changed(made | {"shard-000000.tar": shard}, folder, change))
    before = contents(tmp_path)
    assert VideoReader(items[0].video).count_frames() == 4
    with pytest.raises(VideoError, match=r":link\.mp4 is empty"):
        VideoReader(items[1].video)
    assert contents(tmp_path) == before
    assert not outside.exists()


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n"),
        ("m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n"),
        ("ffconcat", "ffconcat version 1.0\nfile '{path}'\n"),
    ],
)
def test_a_playlist_in_a_shard_opens_no_file(suffix, text, tmp_path):
    secret = write_video(tmp_path / "secret.mp4", noisy_frames(6))
    write_video(tmp_path / "source" / "clip.mp4", 4)
    playlist = text.format(path=secret).encode()
    pack(tmp_path / "source", tmp_path / "shards")
    with (tmp_path / "shards" / "shard-000000.tar").open("wb") as handle:
        writer = TarWriter(handle)
        member = writer.add(f"000000000.{suffix}", playlist)
        writer.finish()

    def change(index: dict[str, Any]) -> None:
        index["shards"][0]["bytes"] = writer.num_bytes
        index["videos"][0]["video"] = [
            {
                "name": member.name,
                "offset": member.offset,
                "bytes": member.num_bytes,
                "crc32": [f"{member.checksums[0]:08x}"],
            }
        ]

    folder = changed(contents(tmp_path / "shards"), tmp_path / "shards", change)
    with pytest.raises(VideoError, match=r"can't be read as a video"):
        VideoReader(find_videos(folder)[0].video)


def test_masks_that_are_pickles_are_refused_in_shards_too(made, tmp_path):
    def change(index: dict[str, Any]) -> None:
        index["videos"][0]["masks"] = index["videos"][0]["video"][0] | {"name": "000000000.masks.npz"}

    masks = find_videos(changed(made, tmp_path, change))[0].masks
    with pytest.raises(DataError, match=r"shard-000000\.tar:clip\.masks\.npz can't be read as an npz file"):
        load_segments(masks)
