"""Frames as they are kept in memory: at the model's size, with whatever comes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt, UInt8, UInt16
from numpy.typing import NDArray

_Frames = TypeVar("_Frames", bound="StoredFrames")
_PICTURES = ("frames", "segments", "flow", "depth")


@dataclass(frozen=True, kw_only=True)
class StoredFrames:
    """Frames of one video. times: seconds. All else is None where it isn't asked for.

    segments: 0 is background. flow: in pixels of these frames, to the video's next one. depth: in the data's unit.
    features: the bits of 16-bit floating numbers.
    """

    frames: UInt8[np.ndarray, "t 3 h w"]
    times: Float64[np.ndarray, " t"]
    segments: UInt[np.ndarray, "t h w"] | None = None
    flow: Float32[np.ndarray, "t 2 h w"] | None = None
    depth: Float32[np.ndarray, "t 1 h w"] | None = None
    features: UInt16[np.ndarray, "t n e"] | None = None

    @property
    def num_bytes(self) -> int:
        """Memory held."""
        parts = (self.frames, self.times, self.segments, self.flow, self.depth, self.features)
        return sum(part.nbytes for part in parts if part is not None)

    def taken(self: _Frames, chosen: Int[np.ndarray, " k"]) -> _Frames:
        """Some of the frames, in any order."""
        return self._changed((*_PICTURES, "times", "features"), lambda part: part[chosen])

    def cropped(self: _Frames, rows: slice, columns: slice) -> _Frames:
        """A part of each picture."""
        return self._changed(_PICTURES, lambda part: part[..., rows, columns])

    def mirrored(self: _Frames) -> _Frames:
        """Left and right exchanged; what moved right then moves left."""
        turned = self._changed(_PICTURES, lambda part: part[..., ::-1])
        if turned.flow is None:
            return turned
        return replace(turned, flow=turned.flow * np.array([-1.0, 1.0], np.float32)[:, None, None])

    def _changed(self: _Frames, names: tuple[str, ...], change: Callable[[NDArray[Any]], NDArray[Any]]) -> _Frames:
        parts = {name: getattr(self, name) for name in names}
        changes: dict[str, Any] = {name: change(part) for name, part in parts.items() if part is not None}
        return replace(self, **changes)
