"""Objects of a video file, frame by frame, in constant memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from slotkeeper.data.media import MediaPath
from slotkeeper.data.reader import VideoFrame, VideoReader
from slotkeeper.data.resizing import resize_frames
from slotkeeper.data.starts import Start, given_start
from slotkeeper.errors import CheckpointError, ConfigError, VideoError
from slotkeeper.masks import slot_pictures
from slotkeeper.model import SlotModel
from slotkeeper.tracking.cuts import mark_cuts
from slotkeeper.tracking.follower import FollowedFrame, SlotFollower
from slotkeeper.tracking.frame_size import FrameFit, chunk_length, model_size
from slotkeeper.tracking.rules import TrackingRules
from slotkeeper.tracking.tracked import TrackedFrame, objects_of
from slotkeeper.types import GivenStart, SlotState, VideoOutput

_CHUNK_BYTES = 96 * 2**20
"""Source pixels that are held while a chunk is collected: bounds the chunk where frames are large."""


class Tracker:
    """A model and the rules by which its slots become objects.

    Holds nothing about videos: each call of `track` starts afresh, and ids count from 1 in each.

    Args:
        model: put into evaluation mode and moved to `device`.
        size: height and width of the frames that the model was trained on.
        device: where the model runs.
        chunk: frames that are encoded and decoded together; results don't depend on it. Fewer are taken where
            frames are large.
        fit: "stretch" shows the model frames of exactly its `size`, as training and evaluation do; "aspect" frames of
            about that area in the video's shape.
        stride: with "aspect", height and width are multiples of it.
        rules: thresholds of birth, absence, return and background.
        name: of the model, for reports.

    Raises:
        ConfigError: a value out of range, or a GPU is asked for where there is none.
    """

    def __init__(
        self,
        model: SlotModel,
        *,
        size: tuple[int, int],
        device: str | torch.device = "cpu",
        chunk: int = 16,
        fit: FrameFit = "stretch",
        stride: int = 8,
        rules: TrackingRules | None = None,
        name: str = "",
    ) -> None:
        for key, value in (("chunk", chunk), ("stride", stride), ("size", min(size))):
            if value < 1:
                raise ConfigError(f"tracking's {key} must be at least 1, got {value}")
        if fit not in ("aspect", "stretch"):
            raise ConfigError(f"tracking's fit must be 'aspect' or 'stretch', got '{fit}'")
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"tracking was asked to run on '{device}', but no CUDA device is available; use 'cpu'")
        self.model = model.to(self.device).eval()
        self.size = size
        self.chunk = chunk
        self.fit: FrameFit = fit
        self.stride = stride
        self.rules = rules or TrackingRules()
        self.name = name

    def track(self, path: str | os.PathLike[str] | MediaPath, *, start: Start | None = None) -> Iterator[TrackedFrame]:
        """Follow the objects of one video, a file or a folder of frames. start: where things are in its first frame.

        Raises:
            VideoError: the file can't be read; where it ends too soon, only after all its frames have been given.
            ConfigError, DataError: as `check_start`.
        """
        return self.track_frames(VideoReader(path), start=start)

    def check_start(self, start: Start | None, size: tuple[int, int]) -> GivenStart | None:
        """What the model starts a video of `size` (height, width) from.

        Raises:
            DataError: something lies outside the frame.
            ConfigError: the model can't start from this, has too few slots, or needs a start and there is none.
        """
        if start is None:
            if self.model.initializer.needs_start:
                kinds = " or ".join(self.model.initializer.start_kinds)
                raise ConfigError(f"this model needs a start, {kinds} of the first frame (--start FILE), got none")
            return None
        given = given_start(start, size)
        try:
            self.model.start(given)
        except ConfigError as error:
            raise ConfigError(f"{start.source}: {error}") from error
        return given.to(self.device)

    def track_frames(self, frames: Iterable[VideoFrame], *, start: Start | None = None) -> Iterator[TrackedFrame]:
        """Follow the objects of consecutive frames of one size. start: where things are in the first one.

        What is given keeps its order: the first has the id 1. At a cut the model begins anew, and so do all objects,
        under ids of their own; what was given holds up to the first one.

        Raises:
            VideoError: reading failed; all frames read before have been given.
            CheckpointError: the model's masks are not finite numbers.
            ConfigError, DataError: as `check_start`.
        """
        session: _Session | None = None
        failure: VideoError | None = None
        chunk: list[VideoFrame] = []
        source = mark_cuts(frames, self.rules)
        while True:
            try:
                frame, is_cut = next(source, (None, False))
            except VideoError as error:
                frame, failure = None, error
            if frame is None:
                break
            session = session or _Session(self, frame.pixels.shape[:2], start)
            if is_cut:
                yield from session.advance(chunk)
                yield from session.begin_shot()
                chunk = []
            chunk.append(frame)
            if len(chunk) >= session.chunk:
                yield from session.advance(chunk)
                chunk = []
        if session is not None:
            yield from session.advance(chunk)
            yield from session.finish()
        if failure is not None:
            raise failure

    def describe(self) -> dict[str, str]:
        """Model and settings in words, for reports."""
        model = self.model
        parameters = sum(parameter.numel() for parameter in model.parameters())
        families = ("encoder", "initializer", "corrector", "predictor", "decoder")
        parts = {family: type(getattr(model, family)).__name__ for family in families if hasattr(model, family)}
        settings = {
            "model": self.name,
            "parameters": f"{parameters:,}",
            **parts,
            "slots": str(model.num_slots),
            "size": f"{self.size[1]} x {self.size[0]} ({self.fit})",
            "device": str(self.device),
        }
        rules = {key.replace("_", " "): f"{value:g}" for key, value in asdict(self.rules).items()}
        return {key: value for key, value in (settings | rules).items() if value}


class _Session:
    """One video going through a tracker."""

    def __init__(self, tracker: Tracker, source_size: tuple[int, ...], start: Start | None) -> None:
        height, width = source_size
        given = tracker.check_start(start, (height, width))
        most = min(tracker.chunk, chunk_length(tracker.model.num_slots, tracker.size))
        self.chunk = max(1, min(most, _CHUNK_BYTES // (height * width * 3)))
        self._tracker = tracker
        self._model = tracker.model
        self._size = model_size((height, width), tracker.size, fit=tracker.fit, stride=tracker.stride)
        self._source_size = (height, width)
        self._state: SlotState = self._model.start(given)
        self._follower = self._new_follower(num_given=0 if given is None else given.points.shape[1])
        self._is_cut = False
        self._waiting: deque[tuple[VideoFrame, UInt8[np.ndarray, "s rows columns 4"]]] = deque()

    def _new_follower(self, *, num_given: int = 0, num_tracks: int = 0) -> SlotFollower:
        return SlotFollower(
            num_slots=self._model.num_slots,
            num_background=self._model.initializer.num_background,
            size=self._source_size,
            rules=self._tracker.rules,
            num_given=num_given,
            num_tracks=num_tracks,
        )

    def advance(self, frames: list[VideoFrame]) -> Iterator[TrackedFrame]:
        if not frames:
            return
        output, pictures = self._run_model(frames)
        vectors = output.trajectory.corrected[0].float().cpu().numpy()
        for offset, frame in enumerate(frames):
            self._waiting.append((frame, pictures[offset]))
            for followed in self._follower.push(output.decoded.masks[0, offset], vectors[offset]):
                yield self._tracked(followed)

    def begin_shot(self) -> Iterator[TrackedFrame]:
        """The next frame is the first of a new shot: all objects end, and the slots forget."""
        yield from self.finish()
        self._follower = self._new_follower(num_tracks=self._follower.num_tracks)
        self._state = self._model.start()
        self._is_cut = True

    def finish(self) -> Iterator[TrackedFrame]:
        for followed in self._follower.finish():
            yield self._tracked(followed)

    @torch.inference_mode()
    def _run_model(self, frames: list[VideoFrame]) -> tuple[VideoOutput, UInt8[np.ndarray, "t s rows columns 4"]]:
        """What the model made of these frames, and its slots' pictures."""
        pixels = [resize_frames(frame.pixels[None], self._size)[0] for frame in frames]
        batch = torch.from_numpy(np.stack(pixels)).to(self._tracker.device).permute(0, 3, 1, 2).float() / 255
        self._state, output = self._model.advance(self._state, batch[None])
        if not bool(torch.isfinite(output.decoded.masks).all()):
            raise CheckpointError(
                f"the model gives masks that are not numbers from frame {frames[0].index} on; its weights are damaged"
            )
        return output, _slot_pictures(output, batch[None])

    def _tracked(self, followed: FollowedFrame) -> TrackedFrame:
        frame, pictures = self._waiting.popleft()
        is_cut, self._is_cut = self._is_cut, False
        return TrackedFrame(
            index=frame.index,
            time=frame.time,
            pixels=frame.pixels,
            segments=followed.segments,
            objects=objects_of(followed),
            slot_pictures=pictures,
            is_background=followed.is_background,
            is_cut=is_cut,
        )


def _slot_pictures(
    output: VideoOutput, frames: Float[Tensor, "1 t 3 rows columns"]
) -> UInt8[np.ndarray, "t s rows columns 4"]:
    pictures, masks = slot_pictures(output.decoded, frames)
    values: Float[Tensor, "t s 4 rows columns"] = torch.cat((pictures[0], masks[0][:, :, None]), dim=2)
    scaled = (values.clamp(0, 1) * 255).round().to(torch.uint8)
    return scaled.permute(0, 1, 3, 4, 2).cpu().numpy()
