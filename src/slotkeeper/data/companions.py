"""What is read beside the frames of videos: masks, flow, depth, and features computed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slotkeeper.data.features.reading import FeatureSet
from slotkeeper.data.frames import VideoInfo
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.resizing import Framing
from slotkeeper.data.segments import check_fits, load_segments, segments_shape
from slotkeeper.data.truth import TruthKind, load_truth, truth_shape
from slotkeeper.errors import DataError

_PIXEL_BYTES: dict[TruthKind, int] = {"flow": 8, "depth": 4}


@dataclass(frozen=True, kw_only=True)
class Companions:
    """Which of these are asked for; nothing else is read. features: where they lie; None for none.

    A video without masks comes without; one without the truth or the features that are asked for can't be used.
    """

    framing: Framing
    with_segments: bool = False
    truth: tuple[TruthKind, ...] = ()
    features: FeatureSet | None = None

    @property
    def pixel_bytes(self) -> int:
        """Memory for each pixel of each frame, colours included."""
        return 3 + (1 if self.with_segments else 0) + sum(_PIXEL_BYTES[kind] for kind in self.truth)

    def check(self, item: VideoItem, info: VideoInfo, num_frames: int) -> None:
        """Find out, without reading much, whether all that is asked for is there and fits the video.

        Raises:
            DataError: something is missing, damaged, or of another length or size.
        """
        facts: dict[str, Any] = {"num_frames": num_frames, "height": info.height, "width": info.width}
        if self.with_segments and item.masks is not None:
            check_fits("masks", segments_shape(item.masks), item.masks, video=item.video, **facts)
        for kind in self.truth:
            if item.truth is None:
                raise DataError(f"{item.video} has no {kind}: there is no truth.npz beside it")
            check_fits(kind, truth_shape(item.truth, kind), item.truth, video=item.video, **facts)
        if self.features is not None:
            self.features.check(item, num_frames)

    def load(self, item: VideoItem, indices: Sequence[int] | None = None) -> dict[str, Any]:
        """What is kept at the stored size, by its field in `StoredFrames`, after `check`.

        indices: ascending; None for all frames.

        Raises:
            DataError: something can't be read.
        """
        loaded: dict[str, Any] = {}
        if self.with_segments and item.masks is not None:
            segments = load_segments(item.masks)
            loaded["segments"] = self.framing.segments(segments if indices is None else segments[list(indices)])
        for kind in self.truth:
            assert item.truth is not None
            loaded[kind] = load_truth(item.truth, kind, self.framing, indices)
        return loaded
