"""Scores of predicted frames as a table for people."""

from __future__ import annotations

from slotkeeper.errors import counted
from slotkeeper.evaluation import AS_DECODED
from slotkeeper.prediction.scores import KINDS, Judged, PredictionEvaluation

_SHOWN = (
    "psnr",
    "ssim",
    "lpips",
    "frame_fg_ari",
    "video_fg_ari",
    "frame_miou",
    "video_miou",
    "hota",
    "slot_permanence",
)


def format_prediction(evaluation: PredictionEvaluation) -> str:
    """A table of the main scores by each way, and the protocol."""
    rows = [" " * 4 + f"{'':<18}" + "".join(f"{kind:>12}" for kind in KINDS)]
    for name in _SHOWN:
        values = [_score(getattr(evaluation, kind), name) for kind in KINDS]
        if name == "lpips" and evaluation.protocol["lpips"] is None:
            continue
        digits = 2 if name == "psnr" else 3
        shown = "".join(f"{'-' if value is None else f'{value:.{digits}f}':>12}" for value in values)
        rows.append(" " * 4 + f"{name:<18}{shown}")
    scores = evaluation.predicted.scores
    rows += ["", f"    {counted(scores.counts.videos, 'video')}; {scores.protocol.conditioning}"]
    rows += [f"    foreseen by {evaluation.protocol['foreseen_by']}; {scores.protocol.resize}"]
    rows += [
        "    copied: the last seen frame and the model's masks of it; seen: the same frames once the model sees them"
    ]
    if evaluation.protocol["masks_of_baselines"] != AS_DECODED:
        rows += [f"    masks of copied and seen: {evaluation.protocol['masks_of_baselines']}"]
    if evaluation.protocol["lpips"] is not None:
        rows += [f"    {evaluation.protocol['lpips']}"]
    rows += [f"    left out: {video.name} ({video.reason})" for video in scores.skipped]
    return "\n".join(rows)


def _score(judged: Judged, name: str) -> float | None:
    value: float | None = getattr(judged if name in ("ssim", "lpips") else judged.scores, name)
    return value
