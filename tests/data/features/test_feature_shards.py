"""Features in shards: exact, resumable, checked, and of the right videos."""

from __future__ import annotations

import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from numbered_videos import cut, noisy_frames, write_images, write_video
from safetensors.torch import load as load_safetensors
from sharded_videos import contents
from torch import Tensor

from slotkeeper.data import ClipDataset, ClipLoader, find_videos, make_shards, open_features
from slotkeeper.data.features import FeatureFacts, MadeFeatures, making
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.resizing import resize_frames
from slotkeeper.errors import ConfigError, DataError, OutputError

SIZE = (16, 24)
FACTS = FeatureFacts(encoder="test", size=SIZE, num_tokens=2, width=3, precision="bf16")
SHARD_BYTES = 1500


def look(frames: Tensor) -> Tensor:
    """Means of the colours in the left and in the right half, with all their digits."""
    halves = torch.stack([frames[..., :12], frames[..., 12:]], dim=1)
    return halves.mean(dim=(3, 4)) / 3


def compute(source: Path, out: Path, seen=look, facts: FeatureFacts = FACTS) -> MadeFeatures:
    """`make_features` with shards so small that there are several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_MEGABYTE", SHARD_BYTES)
        patch.setattr(making, "_CHUNK_PIXELS", 4 * SIZE[0] * SIZE[1])
        return making.make_features(source, out, facts=facts, compute=seen, shard_mb=1, show_progress=False)


def expected(video: Path, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    frames = np.stack([resize_frames(frame.pixels[None], SIZE)[0] for frame in VideoReader(video)])
    return look(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255).to(dtype)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for number in range(3):
        write_video(root / f"{number}.mp4", 9 + number, marker=number)
    write_images(root / "deep" / "pictures", 5)
    return root


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "features"
    compute(videos, out)
    return out


def bits(features: Tensor) -> np.ndarray:
    return features.view(torch.uint16).numpy()


def test_each_frames_features_are_kept_to_the_last_bit(videos, whole):
    found = open_features(whole)
    assert len(list(whole.glob("*.tar"))) > 1
    for item in find_videos(videos):
        wanted = expected(item.video)
        found.check(item, len(wanted))
        assert np.array_equal(found.read(item.video_id, range(len(wanted))), bits(wanted))
        assert np.array_equal(found.read(item.video_id, [4, 1, 1]), bits(wanted[[4, 1, 1]]))


def test_other_programs_can_read_the_files(videos, whole):
    import tarfile

    tensors = []
    for shard in sorted(whole.glob("*.tar")):
        with tarfile.open(shard) as archive:
            tensors += [load_safetensors(archive.extractfile(member).read())["features"] for member in archive]
    wanted = [expected(item.video) for item in find_videos(videos)]
    assert all(torch.equal(*pair) for pair in zip(tensors, wanted, strict=True))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_clips_carry_the_features_of_their_frames(videos, tmp_path, precision):
    facts = FeatureFacts(encoder="test", size=SIZE, num_tokens=2, width=3, precision=precision)
    compute(videos, tmp_path / "features", facts=facts)
    data = ClipDataset(
        find_videos(videos), clip_length=3, size=SIZE, frame_stride=2, features=open_features(tmp_path / "features")
    )
    batch = next(ClipLoader(data, batch_size=4, seed=0))
    assert batch.features.dtype == facts.dtype
    seen = torch.stack([look(frames) for frames in batch.frames])
    torch.testing.assert_close(batch.features, seen.to(facts.dtype), rtol=0, atol=0)


def test_they_may_lie_in_an_object_store_and_the_videos_in_shards(videos, whole, tmp_path):
    store = fsspec.filesystem("memory")
    for name, content in contents(whole).items():
        store.pipe_file(f"/features/{name}", content)
    make_shards(videos, tmp_path / "shards", show_progress=False)
    loaders = [
        ClipLoader(
            ClipDataset(find_videos(place), clip_length=3, size=SIZE, features=open_features(found)),
            batch_size=4,
            seed=0,
        )
        for place, found in ((videos, whole), (tmp_path / "shards", "memory://features"))
    ]
    one, other = (next(loader) for loader in loaders)
    assert torch.equal(one.features, other.features)
    assert torch.equal(one.frames, other.frames)


def test_a_killed_run_goes_on_and_a_half_one_is_never_taken_for_whole(videos, whole, tmp_path):
    out, num_seen = tmp_path / "features", 0

    class Killed(BaseException):
        pass

    def dying(frames: Tensor) -> Tensor:
        nonlocal num_seen
        num_seen += len(frames)
        if num_seen > 30:
            raise Killed
        return look(frames)

    with pytest.raises(Killed):
        compute(videos, out, dying)
    assert list(out.glob("*.tar"))
    with pytest.raises(DataError, match="are not all computed: the same 'slotkeeper data features' goes on"):
        open_features(out)
    again = 0

    def counting(frames: Tensor) -> Tensor:
        nonlocal again
        again += len(frames)
        return look(frames)

    compute(videos, out, counting)
    assert 0 < again < sum(len(expected(item.video)) for item in find_videos(videos))
    assert contents(out) == contents(whole)
    again = 0
    assert compute(videos, out, counting).num_frames == 35
    assert again == 0


def test_what_was_begun_with_other_facts_is_not_mixed(videos, whole, tmp_path):
    with pytest.raises(OutputError, match="already holds features of another encoder, size or precision"):
        compute(videos, whole, facts=FeatureFacts(encoder="other", size=SIZE, num_tokens=2, width=3, precision="bf16"))
    shutil.copytree(videos, tmp_path / "more")
    write_video(tmp_path / "more" / "new.mp4", 4)
    with pytest.raises(OutputError, match="already holds features of other videos"):
        compute(tmp_path / "more", whole)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(OutputError, match="is not empty"):
        compute(videos, tmp_path / "full")


def test_broken_videos_are_left_out_and_named(videos, tmp_path):
    source = shutil.copytree(videos, tmp_path / "videos")
    cut(write_video(source / "0a.mp4", noisy_frames(20)), 0.5)
    (source / "9.mp4").touch()
    made = compute(source, tmp_path / "features")
    assert {video.video_id for video in made.skipped} == {"0a", "9"}
    data = ClipDataset(find_videos(source), clip_length=2, size=SIZE, features=open_features(tmp_path / "features"))
    data.preload()
    assert {video.video_id for video in data.skipped} == {"0a", "9"}
    assert {video.video_id for video in compute(source, tmp_path / "features").skipped} == {"0a", "9"}


def test_a_damaged_shard_is_named_with_the_video(videos, whole, tmp_path):
    found = shutil.copytree(whole, tmp_path / "features")
    shard = sorted(found.glob("*.tar"))[0]
    content = bytearray(shard.read_bytes())
    content[800] ^= 1  # within the first video's features
    shard.write_bytes(content)
    data = ClipDataset(find_videos(videos), clip_length=2, size=SIZE, features=open_features(found))
    ids = {data.sample(seed=0, epoch=epoch, index=index).video_id for epoch in range(3) for index in range(4)}
    first = find_videos(videos)[0].video_id
    assert ids == {item.video_id for item in find_videos(videos)} - {first}
    assert [video.video_id for video in data.skipped] == [first]
    assert "is damaged: the shard shard-000000.tar holds other bytes" in data.skipped[0].reason


def test_features_of_another_video_are_not_taken(videos, whole, tmp_path):
    source = shutil.copytree(videos, tmp_path / "videos")
    write_video(source / "0.mp4", 9, marker=7)
    write_video(source / "1.mp4", 4)
    write_video(source / "new.mp4", 4)
    data = ClipDataset(find_videos(source), clip_length=2, size=SIZE, features=open_features(whole))
    data.preload()
    reasons = {video.video_id: video.reason for video in data.skipped}
    assert set(reasons) == {"0", "1", "new"}
    assert "are of another video than" in reasons["0"]
    assert "has features of 10 frames for '1'" in reasons["1"]
    assert "are of a video with the id 'new'" in reasons["new"]


def test_numbers_that_a_precision_cannot_hold_end_the_work(videos, tmp_path):
    facts = FeatureFacts(encoder="test", size=SIZE, num_tokens=2, width=3, precision="fp16")
    with pytest.raises(ConfigError, match="which fp16 can't hold; take --precision bf16"):
        compute(videos, tmp_path / "features", lambda frames: look(frames) + 1e5, facts)


def test_a_folder_of_features_is_no_data_set_and_none_of_videos_holds_features(videos, whole, tmp_path):
    with pytest.raises(DataError, match=r"it holds features of videos, for data\.features"):
        find_videos(whole)
    with pytest.raises(DataError, match="holds no features"):
        open_features(videos)
    with pytest.raises(DataError, match="there is no folder of features"):
        open_features(tmp_path / "nowhere")


def test_an_index_that_claims_other_sizes_is_refused(whole, tmp_path):
    found = shutil.copytree(whole, tmp_path / "features")
    text = (found / "index.json").read_text()
    (found / "index.json").write_text(text.replace('"num_tokens": 2', '"num_tokens": 2000000'))
    with pytest.raises(DataError, match="can't be used: the features of"):
        open_features(found)
    (found / "index.json").write_text(text.replace('"precision": "bf16"', '"precision": "fp8"'))
    with pytest.raises(DataError, match="precision must be bf16 or fp16"):
        open_features(found)
