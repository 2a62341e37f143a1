from __future__ import annotations

import pickle
import shutil
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from fsspec.registry import known_implementations
from numbered_videos import index_of, write_video
from sharded_videos import contents, pack, write_mixed

from slotkeeper.data import ClipDataset, ClipLoader, data_fingerprint, find_videos, load_segments, split_videos
from slotkeeper.data.inspect import describe, inspect_path
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.segments import segments_shape
from slotkeeper.data.shards.pages import Pages
from slotkeeper.data.shards.storage import LocalStorage, UrlStorage
from slotkeeper.data.whole_videos import load_video
from slotkeeper.errors import DataError, VideoError
from slotkeeper.types import Clip


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_mixed(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def local(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack(source, out)
    return out


@pytest.fixture(scope="module")
def remote(local) -> str:
    """The same shards in an object store."""
    store = fsspec.filesystem("memory")
    for name, content in contents(local).items():
        store.pipe_file(f"/bucket/videos/{name}", content)
    return "memory://bucket/videos"


@pytest.fixture(params=["local", "remote"])
def shards(request) -> Path | str:
    return request.getfixturevalue(request.param)


@pytest.fixture
def damaged(local, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return shutil.copytree(local, tmp_path / "damaged")


def shard_of(folder: Path, video_id: str) -> Path:
    item = next(item for item in find_videos(folder) if item.video_id == video_id)
    return folder / str(item.video).removeprefix(f"{folder}/").partition(":")[0]


def test_ids_frames_masks_and_facts_are_those_of_the_folder(source, shards):
    items, packed = find_videos(source), find_videos(shards)
    assert [item.video_id for item in packed] == [item.video_id for item in items]
    for item, twin in zip(items, packed, strict=True):
        reader, other = VideoReader(item.video), VideoReader(twin.video)
        assert other.count_frames() == reader.count_frames()
        for name in ("width", "height", "num_frames_declared", "fps", "duration"):
            assert getattr(other.info, name) == getattr(reader.info, name)
        for frame, again in zip(reader, other, strict=True):
            assert (frame.time, frame.index) == (again.time, again.index)
            assert np.array_equal(frame.pixels, again.pixels)
        assert (twin.masks is None) == (item.masks is None)
        if item.masks is not None:
            assert np.array_equal(load_segments(item.masks), load_segments(twin.masks))
            assert segments_shape(twin.masks) == segments_shape(item.masks)


def test_any_frame_can_be_read_by_itself(shards):
    for item in find_videos(shards):
        assert [index_of(frame.pixels) for frame in VideoReader(item.video).read([2, 7])] == [2, 7] or (
            item.video_id == "turned"
        )


def test_an_item_can_be_sent_to_another_process(shards):
    for item in find_videos(shards):
        twin = pickle.loads(pickle.dumps(item))
        assert (twin.video_id, str(twin.video)) == (item.video_id, str(item.video))
        assert VideoReader(twin.video).info.width == VideoReader(item.video).info.width


@pytest.mark.parametrize("val_share", [0.0, 0.3, 1.0])
def test_the_same_videos_are_held_out(source, shards, val_share):
    for seed in range(3):
        folder, packed = (split_videos(place, val_share=val_share, seed=seed) for place in (source, shards))
        for split in ("train", "val"):
            assert [item.video_id for item in packed[split]] == [item.video_id for item in folder[split]]


@pytest.mark.parametrize("names", [("train/a", "train/b", "val/a"), ("train/a", "b"), ("train/0", "val/1")])
def test_folders_of_splits_decide_in_shards_too(names, tmp_path):
    for name in names:
        write_video(tmp_path / "source" / f"{name}.mp4", 3)
    pack(tmp_path / "source", tmp_path / "shards")
    folder, packed = split_videos(tmp_path / "source"), split_videos(tmp_path / "shards")
    for split in ("train", "val"):
        assert [item.video_id for item in packed[split]] == [item.video_id for item in folder[split]]
    if not folder["val"]:
        with pytest.raises(DataError, match="expected them in val/, found train/"):
            find_videos(tmp_path / "shards", split="val")


def clips(place: Path | str, **options: object) -> ClipDataset:
    return ClipDataset(find_videos(place), clip_length=3, size=(24, 32), **options)


def same(first: Clip, second: Clip) -> bool:
    return (
        first.video_ids == second.video_ids
        and torch.equal(first.frames, second.frames)
        and torch.equal(first.times, second.times)
    )


@pytest.fixture(scope="module")
def reference(source) -> list[Clip]:
    return list(islice(ClipLoader(clips(source), batch_size=5, seed=4, prefetch=0), 6))


@pytest.mark.parametrize("cache_bytes", [0, 10**8])
def test_batches_are_those_of_the_folder_bit_for_bit_and_resume_exactly(reference, shards, cache_bytes):
    loader = ClipLoader(clips(shards, cache_bytes=cache_bytes), batch_size=5, seed=4, num_workers=2)
    assert all(same(next(loader), batch) for batch in reference[:4])
    state = loader.state_dict()
    loader.close()
    resumed = ClipLoader(clips(shards, cache_bytes=cache_bytes), batch_size=5, seed=4)
    resumed.load_state_dict(state)
    assert all(same(next(resumed), batch) for batch in reference[4:])
    resumed.close()


def test_ranks_share_an_epoch_without_overlap_or_loss(shards):
    parts = [ClipLoader(clips(shards), batch_size=4, seed=1, rank=rank, world_size=2, prefetch=0) for rank in range(2)]
    seen = [[name for batch in islice(part, 3) for name in batch.video_ids] for part in parts]  # 12 videos
    assert not set(seen[0]) & set(seen[1])
    assert sorted(seen[0] + seen[1]) == sorted(item.video_id for item in find_videos(shards))


def test_masks_come_along(source, shards):
    twins = []
    for place in (source, shards):
        items = [item for item in find_videos(place) if item.masks is not None]
        dataset = ClipDataset(items, clip_length=3, size=(24, 32), with_segments=True)
        twins.append(next(ClipLoader(dataset, batch_size=4, seed=0, prefetch=0)))
    assert torch.equal(twins[0].segments, twins[1].segments)


def test_the_fingerprint_tells_the_content_without_reading_it(source, local, remote, tmp_path, monkeypatch):
    print_of = data_fingerprint(find_videos(local))
    items = find_videos(remote)
    with monkeypatch.context() as patch:
        patch.delattr(Pages, "read")
        assert data_fingerprint(items) == print_of
    changed = shutil.copytree(source, tmp_path / "changed")
    write_video(changed / "avi.avi", 9, marker=3)
    pack(changed, tmp_path / "shards")
    assert data_fingerprint(find_videos(tmp_path / "shards")) != print_of


def test_pictures_of_a_video_cost_one_round_trip(remote, monkeypatch):
    item = next(item for item in find_videos(remote) if item.video_id == "frames10")
    asked = []
    original = UrlStorage.read
    monkeypatch.setattr(UrlStorage, "read", lambda *arguments: asked.append(arguments) or original(*arguments))
    assert load_video(item, (24, 32)).frames.shape[1] == 11
    assert len(asked) == 1


def test_pages_are_bounded_and_asked_for_again_after_a_failure(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(bytes(range(256)) * 16)
    monkeypatch.setattr(LocalStorage, "page_bytes", 1024)
    pages = Pages(LocalStorage(folder=tmp_path), max_bytes=2048)
    for start, stop in ((0, 10), (1000, 3100), (4090, 5000), (0, 4096), (5000, 6000)):
        assert pages.read("a.tar", start, stop) == (tmp_path / "a.tar").read_bytes()[start:stop]
        assert len(pages._pages) <= 2
    with pytest.raises(FileNotFoundError):
        pages.read("b.tar", 0, 5)
    (tmp_path / "b.tar").write_bytes(b"there now")
    assert pages.read("b.tar", 0, 5) == b"there"


def test_a_missing_shard_is_named_with_each_video_in_it(damaged):
    shard = shard_of(damaged, "mp4")
    shard.unlink()
    item = next(item for item in find_videos(damaged) if item.video_id == "mp4")
    with pytest.raises(VideoError, match=rf"damaged/{shard.name}:mp4\.mp4 can't be read: the shard {shard.name} is mi"):
        VideoReader(item.video)
    with pytest.raises(DataError, match=rf"mp4\.masks\.npz can't be read: the shard {shard.name} is missing"):
        load_segments(item.masks)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_training_goes_on_without_what_a_damaged_shard_held(damage, damaged):
    shard = shard_of(damaged, "deep/er/1")
    spoil(shard, damage)
    hit = {item.video_id for item in find_videos(damaged) if f"/{shard.name}:" in str(item.video)}
    dataset = clips(damaged)
    dataset.preload()
    skipped = {video.video_id: video.reason for video in dataset.skipped}
    assert 0 < len(skipped) < 12
    assert set(skipped) <= hit
    assert all(shard.name in reason and video_id in reason for video_id, reason in skipped.items())
    assert damage != "missing" or set(skipped) == hit


def spoil(shard: Path, damage: str) -> None:
    content = bytearray(shard.read_bytes())
    if damage == "flip":
        for place in range(700, len(content), 700):
            content[place] ^= 1
        shard.write_bytes(content)
    elif damage == "cut":
        shard.write_bytes(content[:2000])
    else:
        shard.unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [("flip", "its SHA-256 is not"), ("cut", "has 2000 bytes, but its index says"), ("missing", "is missing")],
)
def test_inspecting_names_shards_that_are_not_whole(damage, sentence, damaged):
    shard = damaged / "shard-000001.tar"
    spoil(shard, damage)
    inspection = inspect_path(damaged)
    assert [name for name, _ in inspection.damaged_shards] == [str(shard)]
    assert f"shard     {shard} {sentence}" in describe(inspection) or sentence in describe(inspection)
    assert inspection.broken
    assert inspection.whole


def test_inspecting_finds_a_flipped_bit_that_no_video_holds(damaged):
    shard = damaged / "shard-000000.tar"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    inspection = inspect_path(damaged)
    assert (len(inspection.damaged_shards), len(inspection.broken)) == (1, 0)


def test_whole_shards_are_found_whole(shards, source):
    inspection, other = inspect_path(shards), inspect_path(source)
    assert inspection.damaged_shards == ()
    assert describe(inspection).partition("\n")[2] == describe(other).partition("\n")[2]


def test_shards_of_shards(remote, local, tmp_path):
    pack(remote, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(local)


def test_tar_files_without_an_index(tmp_path, local):
    shutil.copy(local / "shard-000000.tar", tmp_path)
    with pytest.raises(DataError, match=r"it has tar files, but no index\.json"):
        find_videos(tmp_path)
    with pytest.raises(DataError, match="is a tar file; shards are given by their folder"):
        find_videos(tmp_path / "shard-000000.tar")


def test_an_index_of_something_else_is_no_index_of_shards(tmp_path):
    write_video(tmp_path / "a.mp4", 3)
    (tmp_path / "index.json").write_text('{"videos": ["a.mp4"]}')
    assert [item.video_id for item in find_videos(tmp_path)] == ["a"]
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(DataError, match="no video in"):
        find_videos(tmp_path)


def test_addresses_that_lead_nowhere():
    with pytest.raises(DataError, match=r"memory://nowhere has no index\.json, which whole shards"):
        find_videos("memory://nowhere")
    with pytest.raises(DataError, match="can't open nonsense://bucket: Protocol not known: nonsense"):
        find_videos("nonsense://bucket")


def test_a_store_whose_package_is_missing(monkeypatch):
    monkeypatch.setitem(known_implementations, "far", {"class": "farfs_that_is_missing.Far", "err": "Install farfs"})
    with pytest.raises(DataError, match="far://bucket/videos needs a package that is not installed: Install farfs"):
        find_videos("far://bucket/videos")


def test_a_server_that_gives_whole_files_only(remote, monkeypatch):
    items = find_videos(remote)
    store = fsspec.filesystem("memory")
    whole = store.cat_file
    monkeypatch.setattr(store, "cat_file", lambda path, start=None, end=None: whole(path))
    monkeypatch.setattr(UrlStorage, "page_bytes", 512)
    with pytest.raises(VideoError, match="its server gives whole files only, not parts of them"):
        VideoReader(items[0].video)


def test_what_a_store_says_is_passed_on(remote, monkeypatch):
    items = find_videos(remote)
    store = fsspec.filesystem("memory")

    def refuse(*_: object, **__: object) -> bytes:
        raise RuntimeError("no\n  credentials")

    monkeypatch.setattr(store, "cat_file", refuse)
    with pytest.raises(DataError, match=r"can't read memory://bucket/videos/index\.json: no credentials"):
        find_videos(remote)
    with pytest.raises(VideoError, match=r"can't be read: can't read memory://bucket/videos/shard-0.*: no credentials"):
        VideoReader(items[0].video)
