"""A model's scores on videos with true masks, and what can be said of it without them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from slotkeeper.data import SkippedVideo, VideoItem, iterate_videos, start_from_segments
from slotkeeper.data.resizing import Fit
from slotkeeper.errors import DamagedModelError, DataError, counted, none_of
from slotkeeper.interfaces import BackboneEncoder
from slotkeeper.metrics.health import effective_slots, mask_entropy, mask_swap_rate
from slotkeeper.metrics.prediction import psnr
from slotkeeper.metrics.protocols import EvaluationProtocol
from slotkeeper.model import SlotModel
from slotkeeper.published import clips_of, departures_of
from slotkeeper.scoring import Protocol, Scorer, Scores, VideoScores
from slotkeeper.tracking import BackgroundRecognition, measure_background, slot_labels
from slotkeeper.tracking.frame_size import chunk_length
from slotkeeper.types import Clip, GivenStart, VideoOutput

_RESIZE = "{masks} bilinearly to the truth's size, then argmax; frames resized to {size} ({fit}) for the model"
AS_DECODED = "soft masks"
"""For the protocol: masks that follow from slots alone."""
_FITTED = {"stretch": "stretched", "center_crop": "their middle, cut to that shape"}


@dataclass(frozen=True, kw_only=True)
class Health:
    """What masks say without any truth, as means over videos; see `slotkeeper.metrics.health`.

    background_precision, background_recall: how well background slots were recognised; these two need the truth.
    """

    effective_slots: float
    mask_entropy: float
    mask_swap_rate: float | None
    background_precision: float | None
    background_recall: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores, health and speed.

    videos: what the scores were made of, one entry per scored video. frames_per_second: of model and tracking rules,
    decoding of files aside.
    """

    scores: Scores
    videos: tuple[VideoScores, ...]
    health: Health
    frames_per_second: float

    def as_json(self) -> dict[str, Any]:
        """Flat scores beside `protocol`, `counts`, `health` and `frames_per_second_evaluation`."""
        return self.scores.as_json() | {
            "health": asdict(self.health),
            "frames_per_second_evaluation": self.frames_per_second,
        }


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a model made of one whole video, on the CPU."""

    masks: Float[Tensor, "t s rows columns"]
    psnr: float | None
    num_given: int


def evaluate(
    model: SlotModel,
    items: Sequence[VideoItem],
    *,
    size: tuple[int, int],
    num_frames: int | None = None,
    named: EvaluationProtocol | None = None,
    device: str | torch.device = "cpu",
    seeds: tuple[int, ...] = (),
    skipped: list[SkippedVideo] | None = None,
    show_progress: bool = False,
) -> Evaluation:
    """Score whole videos one by one; nothing is random.

    The slots that hold each pixel are scored as they are, those that are recognised as background as 0. A conditional
    model is given the true objects of each first frame, and the protocol says so.

    Under a published protocol its lengths, its crop and its size of masks hold, and all slots are segments, the
    background's too. The model sees frames of its own size all the same; what so departs from the protocol is named.

    Args:
        model: put into evaluation mode and moved to `device`.
        items: videos with masks; others are named among the skipped.
        size: height and width given to the model.
        num_frames: only the first frames of each; None for whole videos, or as many as `named` takes.
        named: a published protocol to follow.
        device: where to compute.
        seeds: of the model's training, for the protocol.
        skipped: broken videos, and those whose masks can't be used, are appended here, whatever is raised later.
        show_progress: a bar on stderr.

    Raises:
        DataError: no video has usable masks.
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    protocol = _protocol_of(model, size, named, seeds)
    fit: Fit = "stretch" if named is None else named.fit
    num_frames = named.num_frames if named is not None and num_frames is None else num_frames
    gathered = _Gathered(model.to(device).eval(), torch.device(device), protocol)
    for item in items:
        if item.masks is None:
            gathered.scorer.skip(item.video_id, "it has no masks")
    usable = [item for item in items if item.masks is not None]
    if not usable:
        raise DataError(f"evaluation needs true masks, but none of {counted(len(items), 'video')} has any")
    skipped = [] if skipped is None else skipped
    num_known = len(skipped)
    by_id = {item.video_id: item for item in usable}
    clips = iterate_videos(usable, size, max_frames=num_frames, fit=fit, skipped=skipped)
    for clip in tqdm(clips, total=len(usable), desc="evaluating", unit="video", disable=not show_progress):
        try:
            for part in clips_of(clip, named):
                gathered.add(part)
        except DataError as error:
            item = by_id[clip.video_ids[0]]
            skipped.append(SkippedVideo(video_id=item.video_id, path=item.video, reason=f"{item.masks}: {error}"))
    if len(skipped) - num_known == len(usable):
        raise DataError(none_of(len(usable), skipped[num_known].reason, "scored"))
    for video in skipped[num_known:]:
        gathered.scorer.skip(video.video_id, video.reason)
    return gathered.evaluation()


def _protocol_of(
    model: SlotModel, size: tuple[int, int], named: EvaluationProtocol | None, seeds: tuple[int, ...]
) -> Protocol:
    """What is known before any video is scored."""
    resize = describe_resizing(masks_of_seen(model), size, fit="stretch" if named is None else named.fit)
    if named is not None:
        resize += f"; truth brought to {named.mask_size[0]}x{named.mask_size[1]} alike, by nearest labels"
    return Protocol(
        resize=resize,
        conditioning=conditioning_of(model),
        features=features_of(model),
        seeds=seeds,
        num_slots=model.num_slots,
        named=named,
    )


class _Gathered:
    """Sums over the videos so far."""

    def __init__(self, model: SlotModel, device: torch.device, protocol: Protocol):
        self._model, self._device = model, device
        self._named = protocol.named
        self.scorer = Scorer(protocol=protocol, is_background_known=self._named is None)
        self._health: list[tuple[float, float, float | None]] = []
        self._background = BackgroundRecognition()
        self._seconds, self._num_frames = 0.0, 0
        self._frame_size = (0, 0)

    def add(self, clip: Clip) -> None:
        assert clip.segments is not None
        true: Int[np.ndarray, "t h w"] = clip.segments[0].numpy()
        started = time.perf_counter()
        seen = _run(self._model, clip, self._device)
        slots, is_background = slot_labels(
            seen.masks,
            size=(true.shape[1], true.shape[2]),
            num_background=self._model.initializer.num_background,
            num_given=seen.num_given,
        )
        self._seconds += time.perf_counter() - started
        self._num_frames += len(true)
        self._frame_size = (clip.frames.shape[-2], clip.frames.shape[-1])
        predicted = slots if self._named else segments_of_slots(slots, is_background)
        self.scorer.add(predicted, true, name=clip.video_ids[0], psnr=seen.psnr)
        self._background += measure_background(slots, is_background, true)
        masks = seen.masks[None]
        self._health.append((float(effective_slots(masks)), float(mask_entropy(masks)), mask_swap_rate(slots)))

    def evaluation(self) -> Evaluation:
        slots_used, entropies, swaps = zip(*self._health, strict=True)
        health = Health(
            effective_slots=float(np.mean(slots_used)),
            mask_entropy=float(np.mean(entropies)),
            mask_swap_rate=_mean_of_known(swaps),
            background_precision=self._background.precision,
            background_recall=self._background.recall,
        )
        speed = self._num_frames / max(self._seconds, 1e-9)
        scores = self.scorer.scores()
        if self._named is not None:
            departures = departures_of(scores.protocol, self._named, frame_size=self._frame_size)
            scores = replace(scores, protocol=replace(scores.protocol, departures=departures))
        return Evaluation(scores=scores, videos=self.scorer.videos, health=health, frames_per_second=speed)


def segments_of_slots(
    slots: Int[np.ndarray, "t h w"], is_background: Bool[np.ndarray, "t s"]
) -> Int[np.ndarray, "t h w"]:
    """Slot s, from 0, becomes label s + 1, or 0 in the frames in which it is background."""
    labels = np.where(is_background, 0, np.arange(1, is_background.shape[1] + 1))
    return np.stack([of_frame[frame] for of_frame, frame in zip(labels, slots, strict=True)])


@torch.inference_mode()
def _run(model: SlotModel, clip: Clip, device: torch.device) -> _Seen:
    masks, quality = [], []
    given = true_start(model, clip, device)
    for chunk, output in outputs_of(model, clip.frames, device, given):
        masks.append(output.decoded.masks[0].cpu())
        if output.decoded.target == "frames":
            quality.append(psnr(output.decoded.reconstruction.cpu(), chunk)[0])
    num_given = 0 if given is None else int(given.is_given.sum())
    return _Seen(masks=torch.cat(masks), psnr=_mean(quality), num_given=num_given)


def outputs_of(
    model: SlotModel, frames: Float[Tensor, "1 t 3 h w"], device: torch.device, given: GivenStart | None = None
) -> Iterator[tuple[Float[Tensor, "1 _ 3 h w"], VideoOutput]]:
    """Run over one video in chunks, the slots' state carried from each to the next: the chunks and what comes of them.

    Raises:
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    state = model.start(given)
    for chunk in frames.split(chunk_length(model.num_slots, (frames.shape[-2], frames.shape[-1])), dim=1):
        state, output = model.advance(state, chunk.to(device))
        check_finite(output.decoded.masks)
        yield chunk, output


def check_finite(masks: Float[Tensor, "..."]) -> None:
    """Refuse masks that are no masks.

    Raises:
        DamagedModelError: they are not finite numbers.
    """
    if not bool(masks.isfinite().all()):
        raise DamagedModelError("the model gives masks that are not finite numbers; its weights are damaged")


def true_start(model: SlotModel, clip: Clip, device: torch.device) -> GivenStart | None:
    """What a conditional model is told about the first frame, from the true masks; None for all other models."""
    if not model.initializer.needs_start or clip.segments is None:
        return None
    room = model.num_slots - model.initializer.num_background
    return start_from_segments(clip.segments[:, 0], room).to(device)


def describe_resizing(masks: str, size: tuple[int, int], *, fit: Fit = "stretch") -> str:
    """For the protocol: how these masks come to the truth's size, and frames to the model's (height, width)."""
    return _RESIZE.format(masks=masks, size=f"{size[0]}x{size[1]}", fit=_FITTED[fit])


def masks_of_seen(model: SlotModel) -> str:
    """For the protocol: which masks of a frame are scored where the model sees it."""
    sigma = model.posterior_sigma
    return AS_DECODED if sigma is None else f"responsibilities for seen pixels (posterior_sigma {sigma:g})"


def features_of(model: SlotModel) -> str | None:
    """For the protocol: the pretrained features that the model stands on, if any."""
    return model.encoder.label if isinstance(model.encoder, BackboneEncoder) else None


def conditioning_of(model: SlotModel) -> str:
    """For the protocol: what the model is given beside the video."""
    if not model.initializer.needs_start:
        return "none"
    kind = model.initializer.start_kinds[0]
    return f"{kind} of the true objects in the first frame (of at most as many as there are slots, the largest)"


def _mean(parts: Sequence[Tensor]) -> float | None:
    return float(torch.cat(list(parts)).mean()) if parts else None


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
