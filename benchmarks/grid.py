"""Scores of a rule that sees nothing: each frame is cut into as many equal blocks as there are slots.

    python -m benchmarks.grid FOLDER NUM_SLOTS

FOLDER holds videos with masks, as `NAME/masks.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from slotkeeper.data.segments import load_segments
from slotkeeper.scoring import score_video


def grid_segments(num_frames: int, size: tuple[int, int], num_blocks: int) -> np.ndarray:
    """Labels from 0 of blocks in as many columns as rows, or somewhat more; the same in all frames."""
    num_rows = max(rows for rows in range(1, int(num_blocks**0.5) + 1) if num_blocks % rows == 0)
    rows = np.arange(size[0]) * num_rows // size[0]
    columns = np.arange(size[1]) * (num_blocks // num_rows) // size[1]
    labels = rows[:, None] * (num_blocks // num_rows) + columns
    return np.broadcast_to(labels.astype(np.uint8), (num_frames, *size))


def main(folder: str, num_slots: str) -> None:
    videos = []
    for path in sorted(Path(folder).glob("*/masks.npz")):
        true = load_segments(path)
        guess = grid_segments(len(true), true.shape[1:], int(num_slots))
        videos.append(score_video(guess, true, is_background_known=False))
    for name in ("video_fg_ari", "video_miou", "video_mbo"):
        known = [getattr(video, name) for video in videos if getattr(video, name) is not None]
        print(f"{name} {np.mean(known):.3f} over {len(known)} videos")


if __name__ == "__main__":
    main(*sys.argv[1:])
