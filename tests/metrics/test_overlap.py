from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np
import pytest

from slotkeeper.metrics.contingency import contingency
from slotkeeper.metrics.overlap import best_set_iou, frame_mbo, frame_miou, matched_overlaps, video_mbo, video_miou


def slow_iou(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of each true object with each object segment, by set arithmetic."""
    objects, segments = sorted(set(true.flat) - {0}), sorted(set(predicted.flat) - {0})
    masks = [(true == label, predicted == other) for label in objects for other in segments]
    values = [(a & b).sum() / (a | b).sum() for a, b in masks]
    return np.array(values).reshape(len(objects), len(segments))


def best_permutation(iou: np.ndarray) -> float:
    padded = np.pad(iou, ((0, 0), (0, len(iou))))
    columns = permutations(range(padded.shape[1]), len(iou))
    return max(padded[range(len(iou)), column].mean() for column in columns)


def test_frames_and_tubes_agree_with_set_arithmetic(random_pair):
    predicted, true = random_pair
    predicted, true = np.where(predicted % 3 == 0, 0, predicted % 4), np.where(true > 3, 0, true)
    table = contingency(predicted, true)
    tube = slow_iou(predicted, true)
    if len(tube):
        assert video_mbo(table) == pytest.approx(tube.max(axis=1).mean())
        assert video_miou(table) == pytest.approx(best_permutation(tube))
    scores = zip(frame_mbo(table), frame_miou(table), predicted, true, strict=True)
    for best, matched, predicted_frame, true_frame in scores:
        iou = slow_iou(predicted_frame, true_frame)
        if not len(iou):
            assert np.isnan(best)
            assert np.isnan(matched)
            continue
        assert best == pytest.approx(iou.max(axis=1, initial=0).mean())
        assert matched == pytest.approx(best_permutation(iou))


def test_one_segment_over_two_objects_serves_both_in_mbo_but_one_in_miou(video):
    table = contingency(video("1111"), video("1122"))
    assert video_mbo(table) == pytest.approx(0.5)
    assert video_miou(table) == pytest.approx(0.25)


def test_predicted_background_is_no_segment_unless_it_is_unknown(video):
    predicted, true = video("0011"), video("1100")
    assert video_mbo(contingency(predicted, true)) == 0.0
    raw_slots = contingency(predicted, true, is_background_known=False)
    assert video_mbo(raw_slots) == 1.0
    assert video_miou(raw_slots) == 1.0


def test_bleeding_into_background_costs_iou(video):
    table = contingency(video("1111/0000"), video("1100/0000"))
    assert frame_mbo(table) == pytest.approx([0.5])
    assert frame_miou(table) == pytest.approx([0.5])


def test_an_object_is_judged_only_where_it_is_seen(video):
    table = contingency(video("1100 | 0000"), video("1100 | 0000"))
    assert frame_mbo(table)[0] == 1.0
    assert np.isnan(frame_mbo(table)[1])
    assert video_mbo(table) == 1.0


def test_void_pixels_count_in_no_union(video):
    predicted, true = video("1111"), video("1199")
    assert video_miou(contingency(predicted, true, void_label=9)) == 1.0
    assert video_miou(contingency(predicted, true)) == pytest.approx(0.25)


def test_no_objects_is_undefined_and_no_segments_is_zero(video):
    assert video_mbo(contingency(video("0011"), video("0000"))) is None
    assert video_miou(contingency(video("0011"), video("0000"))) is None
    assert video_mbo(contingency(video("0000"), video("0011"))) == 0.0
    assert frame_miou(contingency(video("0000"), video("0011"))) == pytest.approx([0.0])


def test_more_objects_than_segments_leaves_zeros():
    assert matched_overlaps(np.array([[0.9], [0.2], [0.5]])) == pytest.approx([0.9, 0.0, 0.0])


def test_the_best_set_of_segments_is_the_best_of_all_sets():
    generator = np.random.default_rng(0)
    for _ in range(20):
        segments = generator.integers(0, 5, size=(2, 3, 4))
        foreground = generator.random((2, 3, 4)) < 0.4
        labels = np.unique(segments)
        sets = chain.from_iterable(combinations(labels, count) for count in range(1, len(labels) + 1))
        unions = [np.isin(segments, chosen) for chosen in sets]
        best = max((union & foreground).sum() / (union | foreground).sum() for union in unions)
        assert best_set_iou(segments, foreground) == pytest.approx(best)


def test_the_best_set_is_one_for_all_frames(video):
    foreground = np.array([[[True, True, False, False]], [[True, True, False, False]]])
    assert best_set_iou(video("1122 | 1122"), foreground) == 1.0
    assert best_set_iou(video("1122 | 2211"), foreground) == pytest.approx(0.5)
    assert best_set_iou(video("1122 | 1122"), np.zeros_like(foreground)) is None
