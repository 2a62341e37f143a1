"""Overlap of true objects with predicted segments: best overlap (mBO) and one-to-one (mIoU), per frame and per tube.

mBO lets one segment serve several objects; mIoU does not. Both count an object that nothing covers as 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.optimize import linear_sum_assignment

from slotkeeper.metrics.contingency import Contingency, intersection_over_union


def best_overlaps(iou: Float[np.ndarray, "*t k p"]) -> Float[np.ndarray, "*t k"]:
    """Each true object's IoU with the segment that overlaps it best; 0 without any segment."""
    return np.asarray(iou.max(axis=-1, initial=0.0))


def matched_overlaps(iou: Float[np.ndarray, "k p"]) -> Float[np.ndarray, " k"]:
    """Each true object's IoU under the one-to-one matching with the largest sum (Hungarian); 0 if unmatched."""
    overlaps = np.zeros(len(iou))
    rows, columns = linear_sum_assignment(iou, maximize=True)
    overlaps[rows] = iou[rows, columns]
    return overlaps


def frame_mbo(table: Contingency, *, include_background: bool = False) -> Float[np.ndarray, " t"]:
    """Mean best overlap over the true objects that each frame shows; NaN in frames without one.

    Args:
        table: shared pixels.
        include_background: treat true 0 as an object and predicted 0 as a segment.
    """
    iou, visible = _frame_overlap(table, include_background)
    return _mean_of_visible(best_overlaps(iou), visible)


def frame_miou(table: Contingency, *, include_background: bool = False) -> Float[np.ndarray, " t"]:
    """Mean one-to-one IoU over the true objects that each frame shows; arguments and NaN as in `frame_mbo`."""
    iou, visible = _frame_overlap(table, include_background)
    matched = np.stack([matched_overlaps(frame) for frame in iou])
    return _mean_of_visible(matched, visible)


def video_mbo(table: Contingency, *, include_background: bool = False) -> float | None:
    """Mean best overlap of whole tubes over the video's true objects; None without one."""
    overlaps = best_overlaps(_video_overlap(table, include_background))
    return float(overlaps.mean()) if len(overlaps) else None


def video_miou(table: Contingency, *, include_background: bool = False) -> float | None:
    """Mean one-to-one IoU of whole tubes over the video's true objects; None without one."""
    overlaps = matched_overlaps(_video_overlap(table, include_background))
    return float(overlaps.mean()) if len(overlaps) else None


def _frame_overlap(table: Contingency, include_background: bool) -> tuple[np.ndarray, np.ndarray]:
    if include_background:
        return intersection_over_union(table.counts), table.true_areas > 0
    return table.frame_iou, table.visible


def _video_overlap(table: Contingency, include_background: bool) -> Float[np.ndarray, "k p"]:
    return intersection_over_union(table.counts.sum(axis=0)) if include_background else table.video_iou


def _mean_of_visible(overlaps: Float[np.ndarray, "t k"], visible: np.ndarray) -> Float[np.ndarray, " t"]:
    num_visible = visible.sum(axis=1)
    means = (overlaps * visible).sum(axis=1) / np.maximum(num_visible, 1)
    return np.where(num_visible > 0, means, np.nan)


def best_set_iou(segments: Integer[np.ndarray, "t h w"], foreground: Bool[np.ndarray, "t h w"]) -> float | None:
    """IoU of the foreground with that set of segments, the same in all frames, which fits it best; None without any.

    For videos whose truth is one mask, whatever is in it. Every label is a segment, 0 too. The best set is found
    exactly: of segments ordered by their share of foreground, it takes the first so many.
    """
    total = int(foreground.sum())
    if total == 0:
        return None
    labels, flat = np.unique(segments, return_inverse=True)
    areas = np.bincount(flat.ravel(), minlength=len(labels))
    inside = np.bincount(flat.ravel(), weights=foreground.ravel(), minlength=len(labels))
    order = np.argsort(-inside / areas, kind="stable")
    inside, outside = inside[order].cumsum(), (areas - inside)[order].cumsum()
    return float((inside / (total + outside)).max())
