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
from slotkeeper.evaluation import conditioning_of, features_of, true_start
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
_SHOWN = ("psnr", "ssim", "frame_fg_ari", "video_fg_ari", "frame_miou", "video_miou", "hota", "slot_permanence")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores of one way to come by the same frames. ssim: None for frames below 11 pixels a side."""

    scores: Scores
    ssim: float | None
    psnr_by_frame: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Flat scores with `ssim` among them, and `psnr_by_frame`: one frame ahead, two, and so on."""
        return self.scores.as_json() | {"ssim": self.ssim, "psnr_by_frame": list(self.psnr_by_frame)}


@dataclass(frozen=True, kw_only=True)
class PredictionEvaluation:
    """All on the same frames, those after the burn-in.

    predicted: nothing of these frames was looked at. copied: the last seen frame and the model's masks of it, repeated.
    seen: rebuilt by the model once it sees them, about the most that a prediction can reach.
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
        self._size: tuple[int, int] | None = None

    def add(self, clip: Clip) -> None:
        """Score a video's frames after the burn-in.

        Raises:
            DataError: it has no masks or too few frames, or its masks can't be scored.
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
        ways = self._ways(frames, given, (true.shape[1], true.shape[2]))
        for kind, (pictures, segments) in ways.items():
            quality = psnr(pictures, frames[0, self.burn_in :])
            self._scorers[kind].add(segments, true, name=clip.video_ids[0], psnr=float(quality.mean()))
            self._psnr[kind].append(quality.numpy())
            if min(self._size) >= SSIM_WINDOW:
                self._ssim[kind].append(float(ssim(pictures, frames[0, self.burn_in :]).mean()))

    def skip(self, name: str, reason: str) -> None:
        """Name a video that can't be scored."""
        for scorer in self._scorers.values():
            scorer.skip(name, reason)

    def evaluation(self) -> PredictionEvaluation:
        """Of all videos so far, one at least."""
        assert self._size is not None
        height, width = self._size
        resize = (
            f"soft masks bilinearly to the truth's size, then argmax; frames resized to {height}x{width} (stretched)"
        )
        judged = {kind: self._judged(kind, resize) for kind in KINDS}
        protocol = {
            "burn_in": self.burn_in,
            "rollout": self._num_frames,
            "foreseen_by": describe_foresight(self._model),
            "picture_resolution": f"{height}x{width}",
        }
        return PredictionEvaluation(**judged, protocol=protocol)

    def _judged(self, kind: str, resize: str) -> Judged:
        scores = self._scorers[kind].scores()
        by_frame = np.mean(self._psnr[kind], axis=0)
        return Judged(
            scores=replace(scores, protocol=replace(scores.protocol, resize=resize)),
            ssim=float(np.mean(self._ssim[kind])) if self._ssim[kind] else None,
            psnr_by_frame=tuple(float(value) for value in by_frame),
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
        show_progress: a bar on stderr.

    Raises:
        ConfigError: the model can't predict, or looks back at more frames.
        DataError: no video is usable.
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    scorer = PredictionScorer(model.to(device), num_frames=num_frames, burn_in=burn_in, device=device, seeds=seeds)
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


def format_prediction(evaluation: PredictionEvaluation) -> str:
    """A table of the main scores by each way, and the protocol."""
    rows = [" " * 4 + f"{'':<18}" + "".join(f"{kind:>12}" for kind in KINDS)]
    for name in _SHOWN:
        values = [_score(getattr(evaluation, kind), name) for kind in KINDS]
        digits = 2 if name == "psnr" else 3
        shown = "".join(f"{'-' if value is None else f'{value:.{digits}f}':>12}" for value in values)
        rows.append(" " * 4 + f"{name:<18}{shown}")
    scores = evaluation.predicted.scores
    rows += ["", f"    {counted(scores.counts.videos, 'video')}; {scores.protocol.conditioning}"]
    rows += [f"    foreseen by {evaluation.protocol['foreseen_by']}; {scores.protocol.resize}"]
    rows += [
        "    copied: the last seen frame and the model's masks of it; seen: the same frames once the model sees them"
    ]
    rows += [f"    left out: {video.name} ({video.reason})" for video in scores.skipped]
    return "\n".join(rows)


def _score(judged: Judged, name: str) -> float | None:
    value: float | None = judged.ssim if name == "ssim" else getattr(judged.scores, name)
    return value
