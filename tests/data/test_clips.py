from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numbered_videos import cut, index_of, marker_of, noisy_frames, numbered_frame, write_images, write_video

from slotkeeper.data.augment import Augmentation, _hue_rotation
from slotkeeper.data.clips import ClipDataset, ClipSample
from slotkeeper.data.folders import find_videos
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.segments import save_segments
from slotkeeper.errors import ConfigError, DataError

NUM_VIDEOS, NUM_FRAMES = 5, 12


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Five videos of twelve frames; grey levels tell video and frame; masks hold the frame's index + 1 at the left."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        write_video(root / f"{number}.mp4", NUM_FRAMES, marker=number, encoder={"crf": "8"})
        segments = np.zeros((NUM_FRAMES, 48, 64), np.uint8)
        segments[:, :, :32] = np.arange(1, NUM_FRAMES + 1)[:, None, None]
        save_segments(root / f"{number}.masks.npz", segments)
    return root


def dataset(root: Path, **options) -> ClipDataset:
    options = {"clip_length": 4, "size": (24, 32)} | options
    return ClipDataset(find_videos(root), **options)


def shown(sample: ClipSample) -> tuple[int, list[int]]:
    """Which video, and which of its frames."""
    frames = sample.frames.transpose(0, 2, 3, 1)
    return marker_of(frames[0]), [index_of(frame) for frame in frames]


def equal(first: ClipSample, second: ClipSample) -> bool:
    """Bit for bit the same clip."""
    return (
        first.video_id == second.video_id
        and np.array_equal(first.frames, second.frames)
        and np.array_equal(first.times, second.times)
        and np.array_equal(first.segments, second.segments)
        and np.array_equal(first.colours, second.colours)
    )


@pytest.mark.parametrize("stride", [1, 3])
def test_clips_are_frames_in_order_from_any_start(videos, stride):
    clips = dataset(videos, frame_stride=stride)
    starts = set()
    for epoch in range(40):
        sample = clips.sample(seed=0, epoch=epoch, index=2)
        number, indices = shown(sample)
        assert sample.video_id == str(number) == "2"
        assert indices == [indices[0] + stride * step for step in range(4)]
        assert sample.times == pytest.approx([index / 25 for index in indices])
        starts.add(indices[0])
    assert starts == set(range(NUM_FRAMES - 3 * stride))


def test_a_clip_depends_on_seed_epoch_and_index_alone(videos):
    clips, other = dataset(videos), dataset(videos)
    list(other.sample(seed=0, epoch=9, index=index) for index in (3, 1))
    assert equal(clips.sample(seed=1, epoch=2, index=3), other.sample(seed=1, epoch=2, index=3))
    varied = [shown(clips.sample(seed=seed, epoch=epoch, index=3)) for seed in range(4) for epoch in range(4)]
    assert len({str(clip) for clip in varied}) > 3


@pytest.mark.parametrize("fit", ["stretch", "center_crop", "random_crop"])
def test_memory_for_decoded_videos_changes_nothing(videos, fit):
    options = {
        "fit": fit,
        "with_segments": True,
        "size": (20, 20),
        "augmentation": Augmentation(flip=True, hue=0.5, contrast=0.3),
    }
    whole, none = dataset(videos, **options), dataset(videos, **options, cache_bytes=0)
    whole.preload()
    assert (whole.num_cached, none.num_cached) == (NUM_VIDEOS, 0)
    for index in range(NUM_VIDEOS):
        assert equal(*(clips.sample(seed=0, epoch=1, index=index) for clips in (whole, none)))
    assert none.num_cached == 0


def test_memory_is_bounded(videos):
    one_video = NUM_FRAMES * 24 * 32 * 3
    clips = dataset(videos, cache_bytes=int(2.5 * one_video))
    clips.preload()
    assert clips.num_cached == 2


def test_a_batch_is_float_and_segments_follow_their_frames(videos):
    clips = dataset(videos, with_segments=True)
    samples = [clips.sample(seed=0, epoch=0, index=index) for index in range(3)]
    batch = clips.collate(samples)
    assert batch.frames.shape == (3, 4, 3, 24, 32)
    assert batch.frames.dtype == torch.float32
    assert torch.equal(batch.frames[1], torch.from_numpy(samples[1].frames).float() / 255)
    assert batch.segments.shape == (3, 4, 24, 32)
    assert batch.segments[:, :, 5, 5].tolist() == [[index + 1 for index in shown(sample)[1]] for sample in samples]
    assert (batch.segments[..., 16:] == 0).all()
    assert batch.video_ids == ("0", "1", "2")


def test_a_flip_mirrors_frames_and_masks_together(videos):
    plain = dataset(videos, with_segments=True)
    flipping = dataset(videos, with_segments=True, augmentation=Augmentation(flip=True))
    flips = 0
    for epoch in range(30):
        before, after = (clips.sample(seed=0, epoch=epoch, index=0) for clips in (plain, flipping))
        is_flipped = not np.array_equal(before.frames, after.frames)
        flips += is_flipped
        assert np.array_equal(before.frames[..., ::-1] if is_flipped else before.frames, after.frames)
        assert np.array_equal(before.segments[..., ::-1] if is_flipped else before.segments, after.segments)
    assert 8 <= flips <= 22


def test_a_random_crop_moves_with_the_masks(tmp_path):
    write_images(tmp_path / "wide", 6, size=(32, 128))
    save_segments(tmp_path / "wide.masks.npz", np.tile(np.arange(128, dtype=np.uint8), (6, 32, 1)))
    clips = dataset(tmp_path, size=(32, 32), fit="random_crop", with_segments=True)
    lefts = set()
    for epoch in range(60):
        segments = clips.sample(seed=0, epoch=epoch, index=0).segments
        assert (np.diff(segments[0, 0].astype(int)) == 1).all()
        lefts.add(int(segments[0, 0, 0]))
    assert len(lefts) > 20
    assert max(lefts) <= 96


def test_colours_change_alike_in_all_frames_of_a_clip(videos):
    strong = Augmentation(brightness=0.5, contrast=0.5, saturation=1.0, hue=0.5, permute_channels=True)
    clips = dataset(videos, augmentation=strong)
    batch = clips.collate([clips.sample(seed=0, epoch=epoch, index=0) for epoch in range(20)])
    corner = batch.frames[:, :, :, 3, 3]
    assert (corner - corner[:, :1]).abs().max() < 0.03
    assert corner[:, 0].std(dim=0).min() > 0.1
    assert batch.frames.min() >= 0.0
    assert batch.frames.max() <= 1.0


@pytest.mark.parametrize(
    "augmentation", [Augmentation(hue=0.5), Augmentation(saturation=1.0), Augmentation(permute_channels=True)]
)
def test_grey_stays_grey_when_only_hues_change(augmentation):
    for seed in range(10):
        colours = augmentation.draw_colours(np.random.default_rng(seed))
        assert colours[:, :3].sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
        assert colours[:, 3] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_third_of_a_turn_makes_red_green():
    assert _hue_rotation(2 * np.pi / 3) @ [1.0, 0.0, 0.0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)


def test_full_desaturation_is_the_luma():
    draws = [Augmentation(saturation=1.0).draw_colours(np.random.default_rng(seed)) for seed in range(200)]
    greyest = min(draws, key=lambda colours: np.ptp(colours[:, 0]))
    assert greyest[:, :3] == pytest.approx(np.tile([0.299, 0.587, 0.114], (3, 1)), abs=0.03)


def test_no_augmentation_draws_no_colours():
    assert Augmentation(flip=True).draw_colours(np.random.default_rng(0)) is None


def test_short_videos_are_left_out_and_named_once(videos, tmp_path):
    for item in find_videos(videos)[:2]:
        (tmp_path / item.video.name).symlink_to(item.video)
    write_video(tmp_path / "short.mp4", 3)
    clips = dataset(tmp_path)
    ids = {clips.sample(seed=0, epoch=epoch, index=index).video_id for epoch in range(8) for index in range(3)}
    assert ids == {"0", "1"}
    assert [skip.video_id for skip in clips.skipped] == ["short"]
    assert "3 frames, a clip needs 4" in clips.skipped[0].reason


@pytest.mark.parametrize("cache_bytes", [0, 10**8])
def test_short_videos_play_forth_and_back(tmp_path, cache_bytes):
    write_video(tmp_path / "a.mp4", 3)
    clips = dataset(tmp_path, clip_length=7, short_videos="loop", cache_bytes=cache_bytes)
    seen = set()
    for epoch in range(20):
        sample = clips.sample(seed=0, epoch=epoch, index=0)
        _, indices = shown(sample)
        assert all(abs(step) == 1 for step in np.diff(indices))
        assert set(indices) == {0, 1, 2}
        assert np.diff(sample.times) == pytest.approx([1 / 25] * 6)
        seen.add(tuple(indices))
    assert len(seen) == 4


def test_a_single_frame_can_fill_a_clip(tmp_path):
    write_video(tmp_path / "a.mp4", 1)
    sample = dataset(tmp_path, short_videos="loop").sample(seed=0, epoch=0, index=0)
    assert shown(sample)[1] == [0, 0, 0, 0]
    assert (np.diff(sample.times) > 0).all()


@pytest.mark.parametrize("cache_bytes", [0, 10**8])
def test_broken_videos_are_named_once_and_their_places_filled(videos, tmp_path, cache_bytes):
    for item in find_videos(videos)[:3]:
        (tmp_path / item.video.name).symlink_to(item.video)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    cut(write_video(tmp_path / "cut.mp4", noisy_frames(40)), 0.5)
    clips = dataset(tmp_path, cache_bytes=cache_bytes)
    ids = [clips.sample(seed=0, epoch=epoch, index=index).video_id for epoch in range(6) for index in range(6)]
    assert set(ids) == {"0", "1", "2"}
    assert min(ids.count(name) for name in "012") >= 6
    assert sorted(skip.video_id for skip in clips.skipped) == ["cut", "empty", "text"]
    again = dataset(tmp_path, cache_bytes=10**8 - cache_bytes)
    again.preload()
    assert sorted(skip.video_id for skip in again.skipped) == ["cut", "empty", "text"]
    for index in range(6):
        assert equal(*(clip.sample(seed=0, epoch=5, index=index) for clip in (clips, again)))


def test_masks_that_do_not_fit_make_a_video_unusable(videos, tmp_path):
    for item in find_videos(videos)[:2]:
        (tmp_path / item.video.name).symlink_to(item.video)
    save_segments(tmp_path / "0.masks.npz", np.zeros((NUM_FRAMES + 1, 48, 64), np.uint8))
    save_segments(tmp_path / "1.masks.npz", np.zeros((NUM_FRAMES, 48, 64), np.uint8))
    for cache_bytes in (0, 10**8):
        clips = dataset(tmp_path, with_segments=True, cache_bytes=cache_bytes)
        assert clips.sample(seed=0, epoch=0, index=0).video_id == "1"
        assert "13 frames" in clips.skipped[0].reason
        assert "12 frames" in clips.skipped[0].reason


def test_no_usable_video_is_an_error(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "short.mp4", 2)
    clips = dataset(tmp_path)
    for action in (clips.preload, lambda: clips.sample(seed=0, epoch=0, index=0)):
        with pytest.raises(DataError, match="none of 2 videos"):
            action()


def test_wrong_settings_are_named(videos):
    for name in ("clip_length", "frame_stride", "clips_per_video"):
        with pytest.raises(ConfigError, match=f"{name} .* got 0"):
            dataset(videos, **{name: 0})
    with pytest.raises(ConfigError, match="hue"):
        Augmentation(hue=0.7)
    with pytest.raises(DataError, match="at least one video"):
        ClipDataset([], clip_length=2, size=(4, 4))
    with pytest.raises(DataError, match="masks are needed"):
        ClipDataset([VideoItem(video_id="a", video=videos / "0.mp4")], clip_length=2, size=(4, 4), with_segments=True)


def test_several_visits_of_a_video_differ(videos):
    clips = dataset(videos, clips_per_video=6)
    assert len(clips) == 6 * NUM_VIDEOS
    starts = {shown(clips.sample(seed=0, epoch=0, index=index))[1][0] for index in range(6, 12)}
    assert {clips.sample(seed=0, epoch=0, index=index).video_id for index in range(6, 12)} == {"1"}
    assert len(starts) > 1


def test_the_picture_is_not_upside_down_or_blue(videos):
    sample = dataset(videos, size=(48, 64)).sample(seed=0, epoch=0, index=3)
    expected = numbered_frame(shown(sample)[1][0], marker=3).transpose(2, 0, 1)
    assert np.abs(sample.frames[0].astype(int) - expected).mean() < 4
