"""What scoring gives: one video's scores as counts, a data set's scores, and the protocol beside them."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from slotkeeper.errors import counted
from slotkeeper.metrics.holding import HoldingCounts
from slotkeeper.metrics.identity import HotaCounts, IdentityCounts, SwitchCounts
from slotkeeper.metrics.protocols import EvaluationProtocol

SCORE_NAMES = (
    "frame_ari",
    "video_ari",
    "frame_fg_ari",
    "video_fg_ari",
    "frame_mbo",
    "video_mbo",
    "frame_miou",
    "video_miou",
    "hota",
    "idf1",
    "id_switches",
    "slot_permanence",
    "swap_rate",
    "reacquisition",
    "psnr",
)
"""The names of scores, the same in JSON, tables and logs."""
DETAIL_NAMES = ("detection_accuracy", "association_accuracy", "fragmentations")
"""What explains hota and id_switches."""
_MAX_NAMED = 10
"""Left-out videos that a table names; JSON names all."""


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """One video's scores, kept as counts where a data set's score is not a mean over videos.

    size: height and width of the true segments. frame_*: one value per frame that shows a true object. video_*: None
    in a video without a true object. psnr: dB, None for masks alone.
    """

    name: str
    num_frames: int
    size: tuple[int, int]
    num_objects: int
    frame_ari: Float[np.ndarray, " scored"]
    frame_fg_ari: Float[np.ndarray, " scored"]
    frame_mbo: Float[np.ndarray, " scored"]
    frame_miou: Float[np.ndarray, " scored"]
    video_ari: float | None
    video_fg_ari: float | None
    video_mbo: float | None
    video_miou: float | None
    hota: HotaCounts
    identity: IdentityCounts
    switches: SwitchCounts
    holding: HoldingCounts
    psnr: float | None = None

    @property
    def num_empty_frames(self) -> int:
        """Frames without a true object, which no per-frame score counts."""
        return self.num_frames - len(self.frame_ari)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How scores were made; without it a score means nothing.

    num_videos, clip_length (frames, or the least and the most) and mask_resolution (height x width of the truth, as
    "64x64") are filled in from the videos. features: the pretrained ones that the models stand on, if any. seeds: of
    the models that were scored, if any. num_slots: of the model. named: the published protocol that was asked for.
    departures: in what the scores were made otherwise, one sentence each; without any they may be laid beside published
    ones.
    """

    per_frame: str = "mean over the frames that show a true object"
    per_video: str = "one table over all frames of a video; mean over the videos with a true object"
    identity: str = (
        "mask IoU; HOTA over thresholds 0.05-0.95, IDF1 and switches at 0.5; counts summed over videos; the holder of "
        "an object is the segment with most of its pixels"
    )
    clip_length: int | tuple[int, int] | None = None
    mask_resolution: str | None = None
    resize: str = "none: predicted segments have the true ones' size"
    background: str = ""
    void_label: int | None = None
    conditioning: str = "none"
    features: str | None = None
    num_videos: int = 0
    seeds: tuple[int, ...] = ()
    num_slots: int | None = None
    named: EvaluationProtocol | None = None
    departures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was scored and what was not.

    skipped: videos without a true object or without a counterpart. skipped_frames: frames without a true object.
    """

    videos: int
    frames: int
    objects: int
    skipped: int
    skipped_frames: int


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A video that was left out (or, without a true object, counted only by HOTA and IDF1), and why.

    is_input_missing: one of its two inputs is missing, which a user may want to put right.
    """

    name: str
    reason: str
    is_input_missing: bool = True


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A data set's scores with their protocol. A score is None where nothing was counted.

    fragmentations, detection_accuracy and association_accuracy (HOTA's parts) explain hota and id_switches.
    """

    frame_ari: float | None
    video_ari: float | None
    frame_fg_ari: float | None
    video_fg_ari: float | None
    frame_mbo: float | None
    video_mbo: float | None
    frame_miou: float | None
    video_miou: float | None
    hota: float | None
    idf1: float | None
    id_switches: int | None
    slot_permanence: float | None
    swap_rate: float | None
    reacquisition: float | None
    psnr: float | None
    fragmentations: int | None
    detection_accuracy: float | None
    association_accuracy: float | None
    protocol: Protocol
    counts: Counts
    skipped: tuple[Skipped, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Flat scores by `SCORE_NAMES` beside `details`, `protocol`, `counts` and `skipped`; None becomes null."""
        values = {name: getattr(self, name) for name in SCORE_NAMES}
        details = {name: getattr(self, name) for name in DETAIL_NAMES}
        skipped = [asdict(video) for video in self.skipped]
        return {
            **values,
            "details": details,
            "protocol": asdict(self.protocol),
            "counts": asdict(self.counts),
            "skipped": skipped,
        }


def format_table(scores: Scores) -> str:
    """One screen of text: two scores a line under their names, what was counted, and the protocol."""
    shown = [f"{name:<22}{_shown(name, getattr(scores, name)):>8}" for name in (*SCORE_NAMES, *DETAIL_NAMES)]
    lines = [" " * 4 + "    ".join(shown[start : start + 2]) for start in range(0, len(shown), 2)]
    counts = scores.counts
    videos, left_out = counted(counts.videos, "video"), counted(counts.skipped, "video")
    lines += [
        "",
        f"    {videos}, {counted(counts.frames, 'frame')}, {counted(counts.objects, 'object')}",
        f"    left out: {left_out}; {counted(counts.skipped_frames, 'frame')} without an object",
    ]
    lines += [f"    left out: {video.name} ({video.reason})" for video in scores.skipped[:_MAX_NAMED]]
    if len(scores.skipped) > _MAX_NAMED:
        lines.append(f"    left out: {len(scores.skipped) - _MAX_NAMED} more")
    lines += ["", "    protocol"]
    for name, value in asdict(scores.protocol).items():
        indent = " " * 24
        lines += textwrap.wrap(_told(value), width=110, initial_indent=f"      {name:<18}", subsequent_indent=indent)
    return "\n".join(lines)


def _shown(name: str, value: float | int | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" if name == "psnr" else f"{value:.3f}"


def _told(value: Any) -> str:
    """A setting as a person writes it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, dict):
        return f"{value['name']}: {value['source']}"
    if isinstance(value, tuple):
        return ", ".join(_told(part) for part in value)
    return str(value)
