"""Flow and depth beside videos: found where masks are, read as safely, and turned with the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numbered_videos import index_of, write_images, write_video

from slotkeeper.data import ClipDataset, ClipLoader, find_videos, make_shards
from slotkeeper.data.augment import Augmentation
from slotkeeper.data.inspect import describe, inspect_path
from slotkeeper.data.resizing import Framing
from slotkeeper.data.truth import load_truth
from slotkeeper.errors import ConfigError, DataError

NUM_FRAMES, HEIGHT, WIDTH = 6, 48, 64


def numbered_flow() -> np.ndarray:
    """Right by the column plus a hundred times the frame, down by the row."""
    flow = np.empty((NUM_FRAMES, HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = np.arange(WIDTH) + 100 * np.arange(NUM_FRAMES)[:, None, None]
    flow[..., 1] = np.arange(HEIGHT)[:, None]
    return flow


def numbered_depth() -> np.ndarray:
    """A thousand times the frame, and a number of its own for each pixel."""
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    return 10_000 * np.arange(NUM_FRAMES, dtype=np.float32)[:, None, None] + pixels


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file and a folder of frames, each with its truth."""
    root = tmp_path_factory.mktemp("truth")
    write_video(root / "a.mp4", NUM_FRAMES, encoder={"crf": "8"})
    np.savez_compressed(root / "a.truth.npz", flow=numbered_flow(), depth=numbered_depth())
    write_images(root / "b" / "frames", NUM_FRAMES)
    np.savez(root / "b" / "truth.npz", depth=numbered_depth().astype(np.float64), flow=numbered_flow())
    return root


def clips(root: Path | str, **options) -> ClipDataset:
    options = {"clip_length": 3, "size": (HEIGHT, WIDTH), "truth": ("flow", "depth")} | options
    return ClipDataset(find_videos(root), **options)


def first_frame(sample) -> int:
    return index_of(sample.frames[0].transpose(1, 2, 0))


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
def test_truth_is_of_the_very_frames_of_the_clip(videos, cache_bytes):
    data = clips(videos, cache_bytes=cache_bytes)
    starts = set()
    for epoch in range(12):
        sample = data.sample(seed=0, epoch=epoch, index=epoch % 2)
        start = first_frame(sample)
        starts.add(start)
        assert np.array_equal(sample.flow, numbered_flow()[start : start + 3].transpose(0, 3, 1, 2))
        assert np.array_equal(sample.depth, numbered_depth()[start : start + 3][:, None])
    assert starts == {0, 1, 2, 3}


def test_truth_is_read_only_when_it_is_asked_for(videos):
    batch = next(ClipLoader(clips(videos, truth=("depth",)), batch_size=2, seed=0))
    assert batch.flow is None
    assert batch.depth.shape == (2, 3, 1, HEIGHT, WIDTH)
    assert batch.depth.dtype == torch.float32
    assert set(batch.seen) == {"frames", "times", "depth"}


def test_flow_and_depth_take_the_value_at_each_pixels_centre_and_flow_shrinks_with_the_picture():
    flow, depth = numbered_flow().transpose(0, 3, 1, 2), numbered_depth()
    half = Framing(size=(HEIGHT // 2, WIDTH // 4))
    assert np.array_equal(half.depth(depth), depth[:, 1::2, 2::4])
    assert np.array_equal(half.flow(flow)[:, 0], flow[:, 0, 1::2, 2::4] / 4)
    assert np.array_equal(half.flow(flow)[:, 1], flow[:, 1, 1::2, 2::4] / 2)
    double = Framing(size=(2 * HEIGHT, 2 * WIDTH))
    assert np.array_equal(double.flow(flow)[:, :, ::2, ::2], 2 * flow)


def test_a_centre_crop_keeps_the_middle_and_the_scale_of_the_kept_shape():
    framing = Framing(size=(24, 24), fit="center_crop")  # 48x64 becomes 24x32, and loses four columns on either side
    flow = framing.flow(numbered_flow().transpose(0, 3, 1, 2))
    assert np.array_equal(flow[0, 0, 0], (np.arange(WIDTH)[1::2] / 2)[4:28])
    assert np.array_equal(flow[0, 1, :, 0], np.arange(HEIGHT)[1::2] / 2)


def test_mirroring_turns_the_picture_and_what_moves_right_moves_left(videos):
    plain, flipping = (clips(videos, augmentation=Augmentation(flip=flip)) for flip in (False, True))
    num_flipped = 0
    for epoch in range(12):
        before, after = (data.sample(seed=0, epoch=epoch, index=0) for data in (plain, flipping))
        if np.array_equal(before.frames, after.frames):
            assert np.array_equal(before.flow, after.flow)
            continue
        num_flipped += 1
        assert np.array_equal(after.frames, before.frames[..., ::-1])
        assert np.array_equal(after.flow[:, 0], -before.flow[:, 0, :, ::-1])
        assert np.array_equal(after.flow[:, 1], before.flow[:, 1, :, ::-1])
        assert np.array_equal(after.depth, before.depth[..., ::-1])
    assert 0 < num_flipped < 12


def test_a_random_crop_cuts_truth_where_it_cuts_the_frames(videos):
    """Depth numbers the pixels, so it tells where the crop lies; the grey patches tell where it must."""
    data = clips(videos, size=(36, 36), fit="random_crop", enlarge=48 / 36)
    corners = set()
    for epoch in range(8):
        sample = data.sample(seed=0, epoch=epoch, index=1)
        number = sample.depth[0, 0, 0, 0] % 10_000
        top, left = divmod(int(number), WIDTH)
        corners.add((top, left))
        rows, columns = np.arange(top, top + 36), np.arange(left, left + 36)
        assert np.array_equal(sample.depth[0, 0] % 10_000, rows[:, None] * WIDTH + columns)
        assert np.array_equal(sample.flow[0, 1, :, 0], rows)
        blue = (sample.frames[0, 2] > 200) & (sample.frames[0, 0] < 50)  # the quarter at the top right
        expected = (rows[:, None] < HEIGHT // 2) & (columns >= WIDTH // 2)
        assert (blue == expected).mean() > 0.95
    assert len(corners) > 2


def test_flow_needs_frames_that_follow_each_other(videos):
    with pytest.raises(ConfigError, match=r"frame_stride must be 1 where clips carry flow, .* got 2"):
        clips(videos, frame_stride=2)
    with pytest.raises(ConfigError, match="short_videos can't be 'loop' where clips carry flow"):
        clips(videos, short_videos="loop")
    assert clips(videos, frame_stride=2, short_videos="loop", truth=("depth",)).sample(seed=0, epoch=0, index=0)


def test_videos_without_it_are_left_out_and_named(tmp_path):
    for name in "abcde":
        write_video(tmp_path / f"{name}.mp4", NUM_FRAMES)
    np.savez(tmp_path / "a.truth.npz", depth=numbered_depth(), flow=numbered_flow())
    np.savez(tmp_path / "b.truth.npz", depth=numbered_depth())
    np.savez(tmp_path / "c.truth.npz", flow=numbered_flow()[:-1])
    (tmp_path / "d.truth.npz").write_bytes((tmp_path / "a.truth.npz").read_bytes()[:5000])
    for cache_bytes in (0, 10**9):
        data = clips(tmp_path, truth=("flow",), cache_bytes=cache_bytes)
        data.preload()
        reasons = {video.video_id: video.reason for video in data.skipped}
        assert set(reasons) == set("bcde")
        assert "b.truth.npz has no array named 'flow'" in reasons["b"]
        assert "c.truth.npz has flow of 5 frames, but" in reasons["c"]
        assert "d.truth.npz can't be read as an npz file of flow" in reasons["d"]
        assert "e.mp4 has no flow: there is no truth.npz beside it" in reasons["e"]
        assert {data.sample(seed=0, epoch=0, index=index).video_id for index in range(5)} == {"a"}


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([None]), "pickled Python objects, which are never read"),
        (np.zeros((2, 4, 4, 3), np.float32), "expected frames, height, width and 2"),
        (np.zeros((2, 4, 4, 2), np.int64), "is int64, expected float16, float32 or float64"),
        (np.full((2, 4, 4, 2), np.nan, np.float16), "flow that is not finite in frame 0"),
    ],
)
def test_what_is_no_flow_is_refused_with_its_name(tmp_path, array, reason):
    np.savez(tmp_path / "truth.npz", flow=array)
    with pytest.raises(DataError, match=f"truth.npz.*{reason}"):
        load_truth(tmp_path / "truth.npz", "flow", Framing(size=(4, 4)))


def test_a_size_is_not_believed(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "truth.npz", depth=np.zeros((8, 64, 64), np.float32))
    monkeypatch.setattr("slotkeeper.data.truth._MAX_BYTES", 8 * 64 * 64 * 4 - 1)
    with pytest.raises(DataError, match=r"the depth takes .* GB unpacked; at most"):
        load_truth(tmp_path / "truth.npz", "depth", Framing(size=(4, 4)))


def test_frames_are_read_one_by_one_also_from_columns_first(tmp_path):
    depth = numbered_depth()
    np.savez(tmp_path / "truth.npz", depth=np.asfortranarray(depth))
    loaded = load_truth(tmp_path / "truth.npz", "depth", Framing(size=(HEIGHT, WIDTH)), [1, 4])
    assert np.array_equal(loaded[:, 0], depth[[1, 4]])


def test_shards_give_the_same_batches(videos, tmp_path):
    make_shards(videos, tmp_path / "shards", show_progress=False)
    folder, shards = (
        ClipLoader(clips(place, size=(24, 32)), batch_size=2, seed=3) for place in (videos, tmp_path / "shards")
    )
    for _ in range(3):
        one, other = next(folder), next(shards)
        assert all(torch.equal(one.seen[name], other.seen[name]) for name in ("frames", "times", "flow", "depth"))


def test_shards_leave_out_what_has_damaged_truth(tmp_path):
    for name in "ab":
        write_video(tmp_path / "in" / f"{name}.mp4", NUM_FRAMES)
        np.savez(
            tmp_path / "in" / f"{name}.truth.npz", depth=numbered_depth()[:, :-1] if name == "b" else numbered_depth()
        )
    made = make_shards(tmp_path / "in", tmp_path / "out", show_progress=False)
    assert [video.video_id for video in made.index.videos] == ["a"]
    assert "b.truth.npz has depth of 64x47 pixels, but" in made.skipped[0].reason


def test_inspecting_tells_who_has_flow_and_depth(videos, tmp_path):
    (tmp_path / "c.mp4").write_bytes((videos / "a.mp4").read_bytes())
    (tmp_path / "d.mp4").write_bytes((videos / "a.mp4").read_bytes())
    (tmp_path / "e.mp4").write_bytes((videos / "a.mp4").read_bytes())
    np.savez(tmp_path / "d.truth.npz", depth=numbered_depth(), amodal=np.zeros((1, 1), bool))
    np.savez(tmp_path / "e.truth.npz", flow=numbered_flow()[:, :-2])
    inspection = inspect_path(tmp_path)
    assert [video.truth for video in inspection.videos] == [(), ("depth",), ()]
    text = describe(inspection)
    assert "truth     0 with flow, 1 with depth, 1 not usable, 1 without" in text
    assert "e.truth.npz has flow of 64x46 pixels" in text
    assert "truth     2 with flow, 2 with depth, 0 not usable, 0 without" in describe(inspect_path(videos))
