"""Scores of predicted frames, beside the last seen frame repeated and the same frames when they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from slotkeeper.data import SkippedVideo, VideoItem, iterate_videos
from slotkeeper.errors import DataError, counted, none_of
from slotkeeper.evaluation import (
    AS_DECODED,
    conditioning_of,
    describe_resizing,
    features_of,
    masks_of_seen,
    true_start,
)
from slotkeeper.metrics.lpips import Lpips
from slotkeeper.metrics.prediction import SSIM_WINDOW, psnr, ssim
from slotkeeper.model import SlotModel
from slotkeeper.prediction.foresight import (
    check_predicts,
    choose_burn_in,
    describe_foresight,
    foresee_video,
    see_video,
    segments_of_masks,
)
from slotkeeper.scoring import Protocol, Scorer, Scores
from slotkeeper.types import Clip, GivenStart

KINDS = ("predicted", "copied", "seen")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores of one way to come by the same frames.

    ssim: None for frames below 11 pixels a side. lpips: None where no trunk was named. Those by frame are one frame
    ahead, two, and so on.
    """

    scores: Scores
    ssim: float | None
    lpips: float | None
    psnr_by_frame: tuple[float, ...]
    lpips_by_frame: tuple[float, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Flat scores with `ssim` and `lpips` among them, and `psnr_by_frame` and `lpips_by_frame`."""
        lpips_by_frame = None if self.lpips_by_frame is None else list(self.lpips_by_frame)
        return self.scores.as_json() | {
            "ssim": self.ssim,
            "lpips": self.lpips,
            "psnr_by_frame": list(self.psnr_by_frame),
            "lpips_by_frame": lpips_by_frame,
        }


@dataclass(frozen=True, kw_only=True)
class PredictionEvaluation:
    """All on the same frames, those after the burn-in.

    predicted: nothing of these frames was looked at; masks as decoded. copied: the last seen frame and the model's
    masks of it, repeated. seen: rebuilt by the model once it sees them, about the most that a prediction can reach.
    Masks of `copied` and `seen` are of frames that were seen: with the model's `posterior_sigma` they are
    responsibilities for these frames' pixels, which a prediction can't have.
    """

    predicted: Judged
    copied: Judged
    seen: Judged
    protocol: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The prediction's flat scores beside `protocol` and `counts`; the others' under `baselines`."""
        baselines = {name: getattr(self, name).as_json() for name in KINDS[1:]}
        for baseline in baselines.values():
            for shared in ("protocol", "counts", "skipped"):
                del baseline[shared]
        judged = self.predicted.as_json()
        return judged | {"protocol": judged["protocol"] | self.protocol, "baselines": baselines}


class PredictionScorer:
    """Gathers the scores of videos one by one.

    Args:
        model: on `device`; put into evaluation mode.
        num_frames: how many to predict.
        burn_in: how many to see before; None for as many as the model's dynamics look back at.
        device: where to compute.
        seeds: of the model's training, for the protocol.
        lpips: on the trunk that the user named; None leaves LPIPS out.

    Raises:
        ConfigError: the model can't predict, or looks back at more frames.
    """

    def __init__(
        self,
        model: SlotModel,
        *,
        num_frames: int,
        burn_in: int | None = None,
        device: str | torch.device = "cpu",
        seeds: tuple[int, ...] = (),
        lpips: Lpips | None = None,
    ):
        check_predicts(model)
        self._model, self._device, self._num_frames = model.eval(), torch.device(device), num_frames
        self.burn_in = choose_burn_in(model, burn_in)
        start = conditioning_of(model)
        given = f"the first {counted(self.burn_in, 'frame')}; the {num_frames} after them are predicted and scored"
        conditioning = given if start == "none" else f"{given}; {start}"
        protocol = Protocol(
            conditioning=conditioning, features=features_of(model), seeds=seeds, num_slots=model.num_slots
        )
        self._scorers = {kind: Scorer(protocol=protocol) for kind in KINDS}
        self._psnr: dict[str, list[Float[np.ndarray, " k"]]] = {kind: [] for kind in KINDS}
        self._ssim: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self._lpips: dict[str, list[Float[np.ndarray, " k"]]] = {kind: [] for kind in KINDS}
        self._lpips_metric = lpips
        self._size: tuple[int, int] | None = None

    def add(self, clip: Clip) -> None:
        """Score a video's frames after the burn-in.

        Raises:
            DataError: it has no masks or too few frames, or its masks can't be scored.
            ConfigError: LPIPS is wanted, and its trunk can't see frames that small.
        """
        needed = self.burn_in + self._num_frames
        if clip.segments is None or clip.frames.shape[1] < needed:
            raise DataError(
                f"a prediction is scored on {needed} frames with masks ({self.burn_in} seen, {self._num_frames} "
                f"predicted), got {'no masks' if clip.segments is None else clip.frames.shape[1]}"
            )
        true = clip.segments[0, self.burn_in : needed].numpy()
        frames = clip.frames[:, :needed]
        given = true_start(self._model, clip, self._device)
        self._size = (frames.shape[-2], frames.shape[-1])
        if self._lpips_metric is not None:
            self._lpips_metric.check_size(self._size)
        ways = self._ways(frames, given, (true.shape[1], true.shape[2]))
        for kind, (pictures, segments) in ways.items():
            quality = psnr(pictures, frames[0, self.burn_in :])
            self._scorers[kind].add(segments, true, name=clip.video_ids[0], psnr=float(quality.mean()))
            self._psnr[kind].append(quality.numpy())
            if min(self._size) >= SSIM_WINDOW:
                self._ssim[kind].append(float(ssim(pictures, frames[0, self.burn_in :]).mean()))
            if self._lpips_metric is not None:
                self._lpips[kind].append(self._lpips_metric(pictures, frames[0, self.burn_in :], self._device).numpy())

    def skip(self, name: str, reason: str) -> None:
        """Name a video that can't be scored."""
        for scorer in self._scorers.values():
            scorer.skip(name, reason)

    def evaluation(self) -> PredictionEvaluation:
        """Of all videos so far, one at least."""
        assert self._size is not None
        height, width = self._size
        judged = {kind: self._judged(kind, self._size) for kind in KINDS}
        protocol = {
            "burn_in": self.burn_in,
            "rollout": self._num_frames,
            "foreseen_by": describe_foresight(self._model),
            "picture_resolution": f"{height}x{width}",
            "masks_of_baselines": masks_of_seen(self._model),
            "lpips": None if self._lpips_metric is None else self._lpips_metric.label,
        }
        return PredictionEvaluation(**judged, protocol=protocol)

    def _judged(self, kind: str, size: tuple[int, int]) -> Judged:
        scores = self._scorers[kind].scores()
        resize = describe_resizing(AS_DECODED if kind == "predicted" else masks_of_seen(self._model), size)
        lpips = self._lpips[kind]
        return Judged(
            scores=replace(scores, protocol=replace(scores.protocol, resize=resize)),
            ssim=float(np.mean(self._ssim[kind])) if self._ssim[kind] else None,
            lpips=float(np.mean(lpips)) if lpips else None,
            psnr_by_frame=_by_frame(self._psnr[kind]),
            lpips_by_frame=_by_frame(lpips) if lpips else None,
        )

    def _ways(
        self, frames: Float[Tensor, "1 t 3 h w"], given: GivenStart | None, size: tuple[int, int]
    ) -> dict[str, tuple[Float[Tensor, "k 3 h w"], Int[np.ndarray, "k rows columns"]]]:
        """Pictures and segments of the predicted frames by each way."""
        burn_in, count = self.burn_in, self._num_frames
        foresight = foresee_video(self._model, frames[:, :burn_in], count, device=self._device, given=given)
        segments = foresight.segments(size)
        seen = see_video(self._model, frames, self._device, given)
        seen_segments = segments_of_masks(
            seen.masks, size, num_background=foresight.num_background, num_given=foresight.num_given
        )
        return {
            "predicted": (foresight.pictures, segments[burn_in:]),
            "copied": (
                frames[0, burn_in - 1].expand(count, -1, -1, -1),
                segments[burn_in - 1 : burn_in].repeat(count, axis=0),
            ),
            "seen": (seen.pictures[burn_in:], seen_segments[burn_in:]),
        }


def evaluate_prediction(
    model: SlotModel,
    items: Sequence[VideoItem],
    *,
    size: tuple[int, int],
    num_frames: int,
    burn_in: int | None = None,
    device: str | torch.device = "cpu",
    seeds: tuple[int, ...] = (),
    lpips: Lpips | None = None,
    show_progress: bool = False,
) -> PredictionEvaluation:
    """Score what a model predicts of each video after its first frames.

    Args:
        model: put into evaluation mode and moved to `device`.
        items: videos with masks and at least `burn_in + num_frames` frames; others are named among the skipped.
        size: height and width given to the model, and of the pictures that are compared.
        num_frames: how many to predict.
        burn_in: how many to see before; None for as many as the model's dynamics look back at.
        device: where to compute.
        seeds: of the model's training, for the protocol.
        lpips: on the trunk that the user named; None leaves LPIPS out.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: the model can't predict, or looks back at more frames, or LPIPS can't see frames that small.
        DataError: no video is usable.
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    scorer = PredictionScorer(
        model.to(device), num_frames=num_frames, burn_in=burn_in, device=device, seeds=seeds, lpips=lpips
    )
    unusable: list[SkippedVideo] = []
    reasons: dict[str, str] = {}
    clips = iterate_videos(items, size, max_frames=scorer.burn_in + num_frames, skipped=unusable)
    num_scored = 0
    for clip in tqdm(clips, total=len(items), desc="predicting", unit="video", disable=not show_progress):
        try:
            scorer.add(clip)
            num_scored += 1
        except DataError as error:
            reasons[clip.video_ids[0]] = str(error)
    reasons |= {video.video_id: video.reason for video in unusable}
    if not num_scored:
        name, reason = next(iter(reasons.items()))
        raise DataError(none_of(len(items), f"{name}: {reason}", "scored"))
    for name, reason in reasons.items():
        scorer.skip(name, reason)
    return scorer.evaluation()


def _by_frame(of_videos: Sequence[Float[np.ndarray, " k"]]) -> tuple[float, ...]:
    """Mean over videos."""
    return tuple(float(value) for value in np.mean(of_videos, axis=0))
