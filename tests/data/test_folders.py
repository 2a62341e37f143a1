from __future__ import annotations

from pathlib import Path

import pytest
from numbered_videos import write_images

from slotkeeper.data.folders import find_videos, split_videos
from slotkeeper.data.layouts import VideoItem
from slotkeeper.errors import DataError


def touch(root: Path, *names: str) -> Path:
    """Empty files; looking for videos doesn't open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(path: Path, root: Path) -> list[tuple[str, str, str | None]]:
    """Ids, videos and masks, relative to `root`."""
    return [
        (item.video_id, str(item.video.relative_to(root)), item.masks and str(item.masks.relative_to(root)))
        for item in find_videos(path)
    ]


def test_a_folder_of_files_with_masks_beside(tmp_path):
    touch(tmp_path, "b10.mp4", "b2.MOV", "c.webm", "b2.masks.npz", "c_masks/0.png", "notes.txt", "._b2.mov")
    assert found(tmp_path, tmp_path) == [
        ("b2", "b2.MOV", "b2.masks.npz"),
        ("b10", "b10.mp4", None),
        ("c", "c.webm", "c_masks"),
    ]


def test_a_folder_for_each_video(tmp_path):
    touch(tmp_path, "a/video.avi", "a/masks.npz", "b/video.mkv", "b/masks/0.png", "c/clip.gif", "c/masks.npz")
    assert found(tmp_path, tmp_path) == [
        ("a", "a/video.avi", "a/masks.npz"),
        ("b", "b/video.mkv", "b/masks"),
        ("c/clip", "c/clip.gif", "c/masks.npz"),
    ]


def test_folders_of_frames(tmp_path):
    write_images(tmp_path / "a", 2)
    write_images(tmp_path / "b" / "frames", 2, "jpg")
    write_images(tmp_path / "c", 2)
    touch(tmp_path, "a/masks.npz", "b/masks/0.png", "c.masks.npz")
    assert found(tmp_path, tmp_path) == [
        ("a", "a", "a/masks.npz"),
        ("b", "b/frames", "b/masks"),
        ("c", "c", "c.masks.npz"),
    ]


def test_one_video_alone(tmp_path):
    write_images(tmp_path / "frames", 2)
    touch(tmp_path, "x/v.mp4", "x/w.mp4", "x/v.masks.npz", "x/masks.npz", "y/video.mp4", "y/masks.npz")
    assert found(tmp_path / "frames", tmp_path) == [("frames", "frames", None)]
    assert found(tmp_path / "x" / "v.mp4", tmp_path) == [("v", "x/v.mp4", "x/v.masks.npz")]
    assert found(tmp_path / "x" / "w.mp4", tmp_path) == [("w", "x/w.mp4", None)]
    assert found(tmp_path / "y", tmp_path) == [("y", "y/video.mp4", "y/masks.npz")]


def test_equal_names_with_different_suffixes_get_different_ids(tmp_path):
    touch(tmp_path, "a.mp4", "a.avi")
    assert [item.video_id for item in find_videos(tmp_path)] == ["a.avi", "a.mp4"]


def test_what_tracking_wrote_is_not_a_video(tmp_path):
    touch(tmp_path, "a.mp4", "tracks/a/overlay.mp4", "tracks/a/tracks.json", "mine/overlay.mp4")
    assert [item.video_id for item in find_videos(tmp_path)] == ["a", "mine/overlay"]


def test_a_stray_picture_among_videos_is_not_a_video(tmp_path):
    touch(tmp_path, "a.mp4", "sub/b.mp4")
    write_images(tmp_path, 1)
    assert [item.video_id for item in find_videos(tmp_path)] == ["a", "sub/b"]
    write_images(tmp_path / "frames only" / "one", 2)
    write_images(tmp_path / "frames only", 1)
    assert [item.video_id for item in find_videos(tmp_path / "frames only")] == ["one"]


def test_train_and_val_folders_decide(tmp_path):
    touch(tmp_path, "train/a.mp4", "train/b/video.mp4", "val/c.mp4")
    assert [item.video_id for item in find_videos(tmp_path, split="train")] == ["train/a", "train/b"]
    assert [item.video_id for item in find_videos(tmp_path, split="val", val_share=0.0)] == ["val/c"]
    assert len(find_videos(tmp_path)) == 3


def test_a_missing_split_folder_is_named(tmp_path):
    touch(tmp_path, "train/a.mp4", "train/b.mp4")
    with pytest.raises(DataError, match=r"val/.*found train/"):
        find_videos(tmp_path, split="val")


def test_a_video_of_a_train_is_not_a_split(tmp_path):
    touch(tmp_path, "train/video.mp4", "boat/video.mp4")
    assert len(find_videos(tmp_path, split="train") + find_videos(tmp_path, split="val")) == 2


def test_the_seeded_share_parts_the_videos(tmp_path):
    touch(tmp_path, *(f"{index}.mp4" for index in range(200)))
    train, val = (find_videos(tmp_path, split=split, val_share=0.2, seed=1) for split in ("train", "val"))
    assert {item.video_id for item in train}.isdisjoint(item.video_id for item in val)
    assert len(train) + len(val) == 200
    assert 25 <= len(val) <= 55
    assert val != find_videos(tmp_path, split="val", val_share=0.2, seed=2)


def test_a_video_stays_on_its_side_when_others_are_added(tmp_path):
    touch(tmp_path, *(f"{index}.mp4" for index in range(50)))
    before = set(find_videos(tmp_path, split="val", val_share=0.2))
    touch(tmp_path, *(f"{index}.mp4" for index in range(50, 80)))
    assert before <= set(find_videos(tmp_path, split="val", val_share=0.2))


def test_two_videos_leave_one_for_either_side(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    for seed in range(5):
        assert len(find_videos(tmp_path, split="train", seed=seed)) == 1
        assert len(find_videos(tmp_path, split="val", seed=seed)) == 1


def test_a_single_video_is_for_training_whatever_its_hash(tmp_path):
    for number in range(30):
        touch(tmp_path, f"{number}.mp4")
        parts = split_videos(tmp_path / f"{number}.mp4", val_share=0.5)
        assert {split: len(items) for split, items in parts.items()} == {"train": 1, "val": 0}


def test_errors_say_what_was_looked_for(tmp_path):
    touch(tmp_path, "a/readme.txt")
    with pytest.raises(DataError, match="no such file or folder"):
        find_videos(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no video in .*mp4.*jpg or png"):
        find_videos(tmp_path)
    with pytest.raises(DataError, match=r"val_share .* 1\.5"):
        find_videos(tmp_path, split="val", val_share=1.5)
    touch(tmp_path, "a/only.mp4")
    with pytest.raises(DataError, match="'val'"):
        find_videos(tmp_path, split="val", val_share=0.0)


def test_items_are_values(tmp_path):
    touch(tmp_path, "a.mp4")
    assert find_videos(tmp_path) == [VideoItem(video_id="a", video=tmp_path / "a.mp4")]
