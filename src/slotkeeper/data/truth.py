"""Flow and depth on disk: `truth.npz` with `flow`, frames x height x width x 2, and `depth`, frames x height x width.

Flow says where a pixel's point is in the next frame: x to the right and y down, in pixels. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float32

from slotkeeper.data.media import MediaPath
from slotkeeper.data.npz import ArrayRules, array_names, array_shape, each_row
from slotkeeper.data.resizing import Framing
from slotkeeper.data.segments import check_fits
from slotkeeper.errors import ConfigError, DataError

TruthKind = Literal["flow", "depth"]
TRUTH_KINDS: tuple[TruthKind, ...] = get_args(TruthKind)
_DTYPES = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))
_AXES: dict[TruthKind, tuple[str | int, ...]] = {
    "flow": ("frames", "height", "width", 2),
    "depth": ("frames", "height", "width"),
}
_MAX_BYTES = 2**35
"""Of one array, unpacked: 24 frames of 8192 x 8192. It bounds the time, as one frame at a time is in memory."""


def truth_shape(path: MediaPath, kind: TruthKind) -> tuple[int, ...]:
    """Frames, height and width of what a file knows, without loading it; of flow also 2.

    Raises:
        DataError: the file is missing or damaged, or hasn't got that kind of truth.
    """
    return array_shape(path, _rules(kind))


def load_truth(
    path: MediaPath, kind: TruthKind, framing: Framing, indices: Sequence[int] | None = None
) -> Float32[np.ndarray, "t c h w"]:
    """Flow (x, y) or depth of some frames at the stored size; flow in pixels of that size.

    indices: ascending; None for all frames.

    Raises:
        DataError: as `truth_shape`, or a value is not finite.
    """
    wanted = None if indices is None else set(indices)
    frames = []
    for number, frame in enumerate(each_row(path, _rules(kind))):
        if wanted is not None and number not in wanted:
            continue
        _check_finite(frame, kind, number, path)
        exact = frame.astype(np.float32)
        frames.append(framing.flow(exact.transpose(2, 0, 1)) if kind == "flow" else framing.depth(exact)[None])
        if wanted is not None and len(frames) == len(wanted):
            break
    return np.stack(frames)


def check_truth(
    path: MediaPath, *, num_frames: int | None, height: int, width: int, video: MediaPath
) -> tuple[TruthKind, ...]:
    """Read whichever of flow and depth a file has, and compare them with the video; returns which these are.

    Raises:
        DataError: the file is damaged, or one of them doesn't fit or is not finite.
    """
    present = set(array_names(path, "truth"))
    kinds = tuple(kind for kind in TRUTH_KINDS if kind in present)
    for kind in kinds:
        shape = truth_shape(path, kind)
        check_fits(kind, shape, path, num_frames=num_frames, height=height, width=width, video=video)
        for number, frame in enumerate(each_row(path, _rules(kind))):
            _check_finite(frame, kind, number, path)
    return kinds


def check_flow_settings(*, frame_stride: int, short_videos: str) -> None:
    """Refuse clips whose frames don't follow each other, since flow leads to the very next frame of the video.

    Raises:
        ConfigError: names the setting.
    """
    if frame_stride != 1:
        raise ConfigError(
            f"frame_stride must be 1 where clips carry flow, which leads to the video's next frame, got {frame_stride}"
        )
    if short_videos == "loop":
        raise ConfigError("short_videos can't be 'loop' where clips carry flow, which a video played backwards hasn't")


def _check_finite(frame: Float[np.ndarray, "..."], kind: TruthKind, number: int, path: MediaPath) -> None:
    if not np.isfinite(frame).all():
        raise DataError(f"{path} has {kind} that is not finite in frame {number}")


def _rules(kind: TruthKind) -> ArrayRules:
    return ArrayRules(key=kind, what=kind, dtypes=_DTYPES, axes=_AXES[kind], max_bytes=_MAX_BYTES)
