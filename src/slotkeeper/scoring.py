"""All scores of predicted against true segments, for one video and for a data set, with the protocol they follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from tqdm import tqdm

from slotkeeper.data.resizing import resize_segments
from slotkeeper.data.segments import load_segments
from slotkeeper.errors import DataError, counted
from slotkeeper.metrics import ari, holding, identity, overlap
from slotkeeper.metrics.contingency import contingency
from slotkeeper.metrics.results import SCORE_NAMES, Counts, Protocol, Scores, Skipped, VideoScores, format_table
from slotkeeper.pairing import pair_masks

__all__ = [
    "SCORE_NAMES",
    "Counts",
    "Protocol",
    "Scorer",
    "Scores",
    "Skipped",
    "VideoScores",
    "aggregate",
    "format_table",
    "score_folders",
    "score_video",
]

BACKGROUND_RULES = {
    True: "true 0 is background: counted by plain ARI only; "
    "predicted 0 is a segment for ARI and FG-ARI, but no object for mBO, mIoU and identity",
    False: "true 0 is background: counted by plain ARI only; predicted 0 is a segment like any other, so that "
    "background segments are false detections in HOTA and IDF1",
}
"""What the protocol says, by whether predicted 0 is known to be background."""


def score_video(
    predicted: Integer[np.ndarray, "_t _h _w"],
    true: Integer[np.ndarray, "_t _h _w"],
    *,
    name: str = "",
    void_label: int | None = None,
    is_background_known: bool = True,
    psnr: float | None = None,
) -> VideoScores:
    """Score one video's segments; `aggregate` turns one or many into scores by name.

    Args:
        predicted: labels that keep their meaning through time: object segments with 0 for background, or raw slots.
        true: labels of objects, 0 for background; at their native resolution.
        name: of the video, for messages.
        void_label: true label of pixels that nobody judges, or None.
        is_background_known: predicted 0 means background; False for raw slots.
        psnr: of the reconstruction or prediction in dB, if there is one.

    Raises:
        DataError: the two differ in frames or size, are empty, or have too many labels to be objects.
    """
    table = contingency(predicted, true, void_label=void_label, is_background_known=is_background_known)
    shows_object = table.visible.any(axis=1)
    is_scored = bool(shows_object.any())
    return VideoScores(
        name=name,
        num_frames=len(true),
        size=(true.shape[1], true.shape[2]),
        num_objects=int(table.is_object.sum()),
        frame_ari=ari.frame_ari(table)[shows_object],
        frame_fg_ari=ari.frame_ari(table, ignore_background=True)[shows_object],
        frame_mbo=overlap.frame_mbo(table)[shows_object],
        frame_miou=overlap.frame_miou(table)[shows_object],
        video_ari=ari.video_ari(table) if is_scored else None,
        video_fg_ari=ari.video_ari(table, ignore_background=True),
        video_mbo=overlap.video_mbo(table),
        video_miou=overlap.video_miou(table),
        hota=identity.hota_counts(table),
        identity=identity.identity_counts(table),
        switches=identity.switch_counts(table),
        holding=holding.holding_counts(table),
        psnr=psnr,
    )


def aggregate(videos: Sequence[VideoScores], protocol: Protocol, skipped: Iterable[Skipped] = ()) -> Scores:
    """Scores of a data set.

    Per-frame scores are means over all frames that show an object, per-video scores over all videos that have one;
    HOTA and IDF1 divide counts summed over videos; switches are summed; permanence is a mean over objects, swap rate
    and re-acquisition are shares of all visible object-frames and of all returns. None where nothing was counted.
    """
    empty = [
        Skipped(name=video.name, reason="no true object", is_input_missing=False)
        for video in videos
        if not video.num_objects
    ]
    left_out = (*skipped, *empty)
    has_objects = len(empty) < len(videos)
    hota = identity.hota([video.hota for video in videos])
    held = [video.holding for video in videos]
    return Scores(
        frame_ari=_mean_of_frames([video.frame_ari for video in videos]),
        video_ari=_mean_of_known([video.video_ari for video in videos]),
        frame_fg_ari=_mean_of_frames([video.frame_fg_ari for video in videos]),
        video_fg_ari=_mean_of_known([video.video_fg_ari for video in videos]),
        frame_mbo=_mean_of_frames([video.frame_mbo for video in videos]),
        video_mbo=_mean_of_known([video.video_mbo for video in videos]),
        frame_miou=_mean_of_frames([video.frame_miou for video in videos]),
        video_miou=_mean_of_known([video.video_miou for video in videos]),
        hota=hota.hota if hota else None,
        idf1=identity.idf1([video.identity for video in videos]),
        id_switches=sum(video.switches.switches for video in videos) if has_objects else None,
        slot_permanence=holding.slot_permanence(held),
        swap_rate=holding.swap_rate(held),
        reacquisition=holding.reacquisition(held),
        psnr=_mean_of_known([video.psnr for video in videos]),
        fragmentations=sum(video.switches.fragmentations for video in videos) if has_objects else None,
        detection_accuracy=hota.detection if hota else None,
        association_accuracy=hota.association if hota else None,
        protocol=_completed(protocol, videos),
        counts=_counts(videos, num_skipped=len(left_out)),
        skipped=left_out,
    )


class Scorer:
    """Gathers the scores of videos one by one, so that no masks have to be kept.

    Args:
        is_background_known: predicted 0 means background; False for raw slots.
        void_label: true label of pixels that nobody judges, or None.
        protocol: what the caller knows about resizing, conditioning and seeds; the rest is filled in.
    """

    def __init__(
        self, *, is_background_known: bool = True, void_label: int | None = None, protocol: Protocol | None = None
    ):
        self._is_background_known = is_background_known
        self._void_label = void_label
        self._protocol = replace(
            protocol or Protocol(),
            background=BACKGROUND_RULES[is_background_known],
            void_label=void_label,
        )
        self._videos: list[VideoScores] = []
        self._skipped: list[Skipped] = []

    def add(
        self,
        predicted: Integer[np.ndarray, "_t _h _w"],
        true: Integer[np.ndarray, "_t _h _w"],
        *,
        name: str = "",
        psnr: float | None = None,
    ) -> VideoScores:
        """Score one video and keep the scores. Raises as `score_video`."""
        scores = score_video(
            predicted,
            true,
            name=name,
            void_label=self._void_label,
            is_background_known=self._is_background_known,
            psnr=psnr,
        )
        self._videos.append(scores)
        return scores

    def skip(self, name: str, reason: str) -> None:
        """Name a video that can't be scored."""
        self._skipped.append(Skipped(name=name, reason=reason))

    @property
    def videos(self) -> tuple[VideoScores, ...]:
        """Each video's scores so far."""
        return tuple(self._videos)

    def scores(self) -> Scores:
        """Scores of all videos so far."""
        return aggregate(self._videos, self._protocol, self._skipped)


def score_folders(
    predicted: str | Path,
    true: str | Path,
    *,
    void_label: int | None = None,
    is_background_known: bool = True,
    conditioning: str = "none",
    seeds: Sequence[int] = (),
) -> Scores:
    """Score masks made by any program against the truth, video by video; pairs as in `pair_masks`.

    The truth keeps its resolution; predicted labels of another size take the nearest pixel centre's label. Videos
    without a counterpart are left out and named.

    Args:
        predicted: an npz file, a folder of PNG files, or a folder of several of these.
        true: the same for the truth.
        void_label: true label of pixels that nobody judges, or None.
        is_background_known: predicted 0 means background.
        conditioning: what the predicting program was given beside the video, for the protocol.
        seeds: of the models that made the predictions, for the protocol.

    Raises:
        DataError: a place or a file is missing or unreadable, no names agree, or a pair differs in frames.
    """
    videos, skipped, resized = [], [], Counter[str]()
    for pair in tqdm(pair_masks(Path(predicted), Path(true)), desc="scoring", unit="video", disable=None):
        if pair.predicted is None or pair.true is None:
            skipped.append(Skipped(name=pair.name, reason=f"no masks in {true if pair.predicted else predicted}"))
            continue
        segments, true_segments = load_segments(pair.predicted), load_segments(pair.true)
        if len(segments) != len(true_segments):
            length = counted(len(segments), "frame")
            raise DataError(f"{pair.predicted} has {length} but {pair.true} has {len(true_segments)}")
        size, true_size = segments.shape[1:], true_segments.shape[1:]
        if size != true_size:
            resized[f"{size[0]}x{size[1]} to {true_size[0]}x{true_size[1]}"] += 1
            segments = resize_segments(segments, true_size)
        videos.append(
            score_video(
                segments, true_segments, name=pair.name, void_label=void_label, is_background_known=is_background_known
            )
        )
    protocol = Protocol(conditioning=conditioning, seeds=tuple(seeds), void_label=void_label)
    protocol = replace(protocol, background=BACKGROUND_RULES[is_background_known])
    return aggregate(videos, _with_resize(protocol, resized, len(videos)), skipped)


def _with_resize(protocol: Protocol, resized: Counter[str], num_videos: int) -> Protocol:
    """The protocol with what was done to predicted labels of another size than the truth."""
    if not resized:
        return protocol
    sizes = ", ".join(f"{change} in {count} of {num_videos} videos" for change, count in sorted(resized.items()))
    return replace(protocol, resize=f"hard predicted labels to the truth's size by the nearest pixel centre: {sizes}")


def _mean_of_frames(values: Sequence[Float[np.ndarray, " _frames"]]) -> float | None:
    frames = np.concatenate([np.zeros(0), *values])
    return float(frames.mean()) if len(frames) else None


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _completed(protocol: Protocol, videos: Sequence[VideoScores]) -> Protocol:
    """The protocol with what the videos themselves say."""
    lengths = sorted({video.num_frames for video in videos})
    sizes = sorted({video.size for video in videos})
    return replace(
        protocol,
        num_videos=len(videos),
        clip_length=None if not lengths else lengths[0] if len(lengths) == 1 else (lengths[0], lengths[-1]),
        mask_resolution=", ".join(f"{height}x{width}" for height, width in sizes) or None,
    )


def _counts(videos: Sequence[VideoScores], *, num_skipped: int) -> Counts:
    return Counts(
        videos=len(videos),
        frames=sum(video.num_frames for video in videos),
        objects=sum(video.num_objects for video in videos),
        skipped=num_skipped,
        skipped_frames=sum(video.num_empty_frames for video in videos),
    )
