"""A folder with every kind of video and mask, and shards of a few thousand bytes made from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numbered_videos import write_images, write_video
from PIL import Image

from slotkeeper.data.segments import save_segments
from slotkeeper.data.shards import making

SHARD_BYTES = 20_000


def numbered_segments(num_frames: int, number: int) -> np.ndarray:
    """Two objects that tell the frame and the video."""
    segments = np.zeros((num_frames, 48, 64), np.uint8)
    for index in range(num_frames):
        segments[index, index : index + 5, :9] = 1
        segments[index, 30:40, number : number + 8] = 2
    return segments


def write_mixed(root: Path) -> Path:
    """Twelve videos: files of several containers, folders of frames, masks as npz and as pictures, nested folders."""
    for number, suffix in enumerate(("mp4", "mkv", "webm", "gif", "avi", "mov")):
        write_video(root / f"{suffix}.{suffix}", 9, marker=number)
    save_segments(root / "mp4.masks.npz", numbered_segments(9, 1))
    for index, labels in enumerate(numbered_segments(9, 2)):
        (root / "mkv_masks").mkdir(exist_ok=True)
        Image.fromarray(labels).save(root / "mkv_masks" / f"{index}.png")
    for number in range(3):
        write_video(root / "deep" / "er" / f"{number}" / "video.mp4", 9, marker=number)
        save_segments(root / "deep" / "er" / f"{number}" / "masks.npz", numbered_segments(9, number))
    write_images(root / "frames10", 11)
    write_images(root / "frames2" / "frames", 9, "jpg")
    save_segments(root / "frames2" / "masks.npz", numbered_segments(9, 4))
    write_video(root / "turned.mp4", 9, rotation=90)
    return root


def pack(source: Path | str, out: Path, **options: object) -> making.MadeShards:
    """`make_shards` with shards so small that there are several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_MEGABYTE", SHARD_BYTES)
        return making.make_shards(source, out, shard_mb=1, show_progress=False, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
