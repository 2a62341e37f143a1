"""Predicted videos as files: one folder for each video."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from slotkeeper.build import LoadedModel
from slotkeeper.data import VideoFrame, VideoItem, VideoReader, load_segments, resize_frames, save_segments
from slotkeeper.data.writer import VideoWriter
from slotkeeper.errors import ConfigError, DataError, VideoError, counted, none_of
from slotkeeper.export import draw_overlay
from slotkeeper.files import write_json
from slotkeeper.model import SlotModel
from slotkeeper.prediction.foresight import (
    Foresight,
    check_predicts,
    choose_burn_in,
    describe_foresight,
    foresee_video,
)
from slotkeeper.prediction.scores import PredictionScorer
from slotkeeper.result_names import name_results
from slotkeeper.staging import check_apart, prepare_folder, staged
from slotkeeper.types import Clip

PREDICTION_FILES = ("predicted.mp4", "masks.npz", "predicted.json")
_MOST_PIXELS = 2**28
"""Of a prediction's frames together, and of its slots' masks; labels and masks of as many take some gigabytes."""
_BORDER: tuple[int, int, int] = (250, 140, 40)


@dataclass(frozen=True, kw_only=True)
class PredictedVideo:
    """One video's results. first: the number of the first predicted frame. is_scored: the truth was known."""

    item: VideoItem
    folder: Path
    first: int
    is_scored: bool


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The frames that are seen, and those that came after them, as far as they are known."""

    seen: list[VideoFrame]
    after: list[VideoFrame]
    fps: Fraction

    @property
    def first(self) -> int:
        return self.seen[-1].index + 1


def predict_videos(
    items: Sequence[VideoItem],
    loaded: LoadedModel,
    out: Path,
    *,
    num_frames: int,
    burn_in: int | None = None,
    at: int | None = None,
    name: str = "",
    device: str | torch.device = "cpu",
    show_progress: bool = False,
) -> tuple[list[PredictedVideo], list[tuple[str, str]]]:
    """Predict how each video goes on; a folder in `out` for each, with `PREDICTION_FILES`.

    Args:
        items: videos; where masks lie beside one and it has the predicted frames, the prediction is scored too.
        loaded: the model, moved to `device`, and its config.
        out: a folder; made if missing.
        num_frames: how many to predict.
        burn_in: how many to see before; None for as many as the model's dynamics look back at.
        at: number of the first predicted frame; None for the one after the last.
        name: of the model, for the files.
        device: where to compute.
        show_progress: a bar on stderr.

    Returns:
        The predicted videos, and the name of each that was left out with the reason.

    Raises:
        ConfigError: the model can't predict, needs a start, or looks back at more frames.
        VideoError: the only video can't be read, or is too short.
        OutputError: `out` can't be written, the disk is full, or results would go into a video's own folder.
    """
    model = loaded.model.to(device).eval()
    check_predicts(model)
    if model.initializer.needs_start:
        raise ConfigError("this model must be given the objects of a first frame, which a prediction doesn't take")
    burn_in = choose_burn_in(model, burn_in)
    names = name_results([item.video for item in items])
    check_apart(names.items(), out)
    prepare_folder(out)
    predicted, skipped = [], []
    for item in tqdm(items, desc="predicting", unit="video", disable=not show_progress):
        if item.video not in names:
            continue  # the same video given twice
        try:
            reader = VideoReader(item.video)
            _check_room(reader, loaded, burn_in + num_frames)
            window = _read(reader, item, burn_in, num_frames, at)
            predictor = _Prediction(loaded, item, window, num_frames, torch.device(device), name)
            predictor.write(out / names[item.video])
        except VideoError as error:
            if len(names) == 1:
                raise
            skipped.append((item.video_id, str(error)))
            continue
        predicted.append(
            PredictedVideo(
                item=item, folder=out / names[item.video], first=window.first, is_scored=predictor.scores is not None
            )
        )
    if not predicted:
        raise VideoError(none_of(len(names), skipped[0][1], "predicted"))
    return predicted, skipped


def _check_room(reader: VideoReader, loaded: LoadedModel, num_frames: int) -> None:
    """Refuse predictions that would take all memory, before any frame is read.

    Raises:
        VideoError: there are too many frames, seen and predicted, for their size.
    """
    (height, width), info = loaded.config.data.size, reader.info
    most = _MOST_PIXELS // max(info.height * info.width, loaded.model.num_slots * height * width)
    if num_frames > most:
        raise VideoError(
            f"{reader.path}: of a video of {info.width}x{info.height} pixels at most {counted(most, 'frame')}, seen "
            f"and predicted, can be held for this model, got {num_frames}"
        )


def _read(reader: VideoReader, item: VideoItem, burn_in: int, num_frames: int, at: int | None) -> _Window:
    """Read no more than is needed.

    Raises:
        VideoError: the video is broken, or too few frames lie before the first predicted one.
    """
    if at is None:
        seen, after = list(deque(reader, maxlen=burn_in)), []
    else:
        frames = list(islice(reader, max(0, at - burn_in), at + num_frames))
        seen, after = [frame for frame in frames if frame.index < at], [frame for frame in frames if frame.index >= at]
    if len(seen) < burn_in or (at is not None and seen[-1].index + 1 < at):
        which = "last frames" if at is None else f"frames before frame {at}"
        raise VideoError(f"{item.video}: the {burn_in} {which} must be seen, but only {len(seen)} of them are there")
    return _Window(seen=seen, after=after, fps=reader.info.fps)


class _Prediction:
    """One video's prediction. scores: with their protocol; None where the truth isn't known."""

    def __init__(
        self,
        loaded: LoadedModel,
        item: VideoItem,
        window: _Window,
        num_frames: int,
        device: torch.device,
        name: str,
    ):
        self._item, self._window, self._num_frames, self._name = item, window, num_frames, name
        self._model: SlotModel = loaded.model
        self._size = loaded.config.data.size
        self._source_size: tuple[int, int] = window.seen[0].pixels.shape[:2]
        self._foresight: Foresight = foresee_video(
            self._model, _as_input(window.seen, self._size), num_frames, device=device
        )
        self.scores = self._scored(loaded, device)

    def write(self, folder: Path) -> None:
        """Put `PREDICTION_FILES` into a folder, all or none."""
        segments = self._foresight.segments(self._source_size)
        with staged(folder, PREDICTION_FILES) as staging:
            self._write_video(staging / "predicted.mp4", segments)
            save_segments(staging / "masks.npz", segments[len(self._window.seen) :])
            write_json(staging / "predicted.json", self._facts())

    def _write_video(self, path: Path, segments: Int[np.ndarray, "t h w"]) -> None:
        """Pictures at the left, the same with tinted objects at the right; predicted ones have a border."""
        height, width = self._source_size
        num_seen = len(self._window.seen)
        pictures = [frame.pixels for frame in self._window.seen]
        foreseen = _enlarged(self._foresight.pictures, self._source_size)
        with VideoWriter(path, fps=self._window.fps, width=2 * width, height=height) as writer:
            for index, (picture, labels) in enumerate(zip(chain(pictures, foreseen), segments, strict=True)):
                beside = np.concatenate([picture, draw_overlay(picture, labels)], axis=1)
                writer.write(beside if index < num_seen else _bordered(beside))

    def _facts(self) -> dict[str, Any]:
        """What was predicted from what, by what."""
        seen, size = self._window.seen, self._size
        return {
            "video": str(self._item.video),
            "model": self._name,
            "foreseen_by": describe_foresight(self._model),
            "seen_frames": [seen[0].index, seen[-1].index],
            "predicted_frames": [self._window.first, self._window.first + self._num_frames - 1],
            "model_size": list(size),
            "scores": self.scores,
        }

    def _scored(self, loaded: LoadedModel, device: torch.device) -> dict[str, Any] | None:
        """Against what came, where the video goes on long enough and masks lie beside it."""
        window = self._window
        if self._item.masks is None or len(window.after) < self._num_frames:
            return None
        frames = [*window.seen, *window.after]
        try:
            segments = load_segments(self._item.masks)[frames[0].index : frames[-1].index + 1]
            if segments.shape != (len(frames), *self._source_size):
                raise DataError("they don't fit the video")
        except DataError as error:
            raise VideoError(f"{self._item.video}: its masks can't be used: {error}") from error
        scorer = PredictionScorer(
            self._model,
            num_frames=self._num_frames,
            burn_in=len(window.seen),
            device=device,
            seeds=(loaded.config.seed,),
        )
        clip = Clip(
            frames=_as_input(frames, self._size),
            times=torch.tensor([[frame.time for frame in frames]], dtype=torch.float32),
            segments=torch.from_numpy(segments.astype(np.int32))[None],
            video_ids=(self._item.video_id,),
        )
        scorer.add(clip)
        return scorer.evaluation().as_json()


def _as_input(frames: Sequence[VideoFrame], size: tuple[int, int]) -> Float[Tensor, "1 t 3 h w"]:
    """Frames as the model takes them."""
    small = resize_frames(np.stack([frame.pixels for frame in frames]), size)
    pixels = np.ascontiguousarray(small.transpose(0, 3, 1, 2))
    return torch.from_numpy(np.divide(pixels, np.float32(255.0), dtype=np.float32))[None]


def _enlarged(
    pictures: Float[Tensor, "k 3 h w"], size: tuple[int, int]
) -> Iterator[UInt8[np.ndarray, "rows columns 3"]]:
    """Each picture at the video's own size, as bytes."""
    for picture in pictures:
        large = functional.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        yield (large.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _bordered(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """With an orange frame around it."""
    width = max(2, round(min(picture.shape[:2]) / 40))
    bordered = picture.copy()
    for side in (bordered[:width], bordered[-width:], bordered[:, :width], bordered[:, -width:]):
        side[...] = _BORDER
    return bordered
