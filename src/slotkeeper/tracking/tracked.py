"""What tracking gives: objects in frames, and their histories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8

from slotkeeper.tracking.follower import FollowedFrame
from slotkeeper.types import Track


@dataclass(frozen=True, kw_only=True)
class TrackedObject:
    """One object in one frame.

    id: from 1, never reused within a video. slot: the one that holds it, from 0. box: x0 y0 x1 y1 in source pixels,
    x1 and y1 one past the last pixel. mask: at the source's size. area: pixels. confidence: in [0, 1], see
    `slotkeeper.tracking.holders.find_holders`.
    """

    id: int
    slot: int
    box: tuple[int, int, int, int]
    mask: Bool[np.ndarray, "h w"]
    area: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class TrackedFrame:
    """One frame with its objects, at the source's size.

    index: from 0. time: seconds since the video's first frame. pixels: RGB of the source. segments: object ids, 0 for
    background. objects: ascending by id. slot_pictures: what each slot paints, at the model's size, with the slot's
    soft mask as alpha. is_background: slots that are taken for background. is_cut: it begins a new shot, and no object
    of the frame before goes on.
    """

    index: int
    time: float
    pixels: UInt8[np.ndarray, "h w 3"]
    segments: Int[np.ndarray, "h w"]
    objects: tuple[TrackedObject, ...]
    slot_pictures: UInt8[np.ndarray, "s rows columns 4"]
    is_background: Bool[np.ndarray, " s"]
    is_cut: bool = False


def objects_of(followed: FollowedFrame) -> tuple[TrackedObject, ...]:
    """The objects of a frame; a slot without an id, and one whose id is shown nowhere, gives none."""
    holders = followed.holders
    objects = []
    for slot in np.flatnonzero(followed.ids):
        mask = holders.slots == slot
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        objects.append(
            TrackedObject(
                id=int(followed.ids[slot]),
                slot=int(slot),
                box=(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1),
                mask=mask,
                area=int(holders.areas[slot]),
                confidence=float(holders.confidence[slot]),
            )
        )
    return tuple(sorted(objects, key=lambda tracked: tracked.id))


def collect_tracks(frames: Iterable[TrackedFrame]) -> tuple[Track, ...]:
    """The history of each object, ascending by id; grows with the video, so meant for clips."""
    seen: dict[int, list[tuple[int, TrackedObject]]] = {}
    for frame in frames:
        for tracked in frame.objects:
            seen.setdefault(tracked.id, []).append((frame.index, tracked))
    return tuple(
        Track(
            track_id=track_id,
            slot=history[0][1].slot,
            frames=np.array([index for index, _ in history]),
            boxes=np.array([tracked.box for _, tracked in history]),
            areas=np.array([tracked.area for _, tracked in history]),
            confidence=np.array([tracked.confidence for _, tracked in history]),
        )
        for track_id, history in sorted(seen.items())
    )
