from __future__ import annotations

import numpy as np
import pytest
import torch

from slotkeeper.data.resizing import resize_segments
from slotkeeper.masks import resize_soft_masks, responsibilities, segments_from_masks


def soft_masks(*shape: int) -> torch.Tensor:
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return (3 * logits).softmax(dim=2)


def test_each_pixel_goes_to_the_largest_mask_and_ties_to_the_lowest_slot():
    masks = torch.tensor([[0.2, 0.5, 0.4], [0.7, 0.5, 0.2], [0.1, 0.0, 0.4]]).reshape(1, 1, 3, 1, 3)
    assert segments_from_masks(masks).tolist() == [[[[1, 0, 0]]]]


def test_soft_masks_go_up_before_the_argmax_not_after():
    # Between a sure pixel (0.9) and an unsure one (0.45) the bilinear border lies nearer to the unsure one.
    masks = torch.tensor([[0.9, 0.45], [0.1, 0.55]]).reshape(1, 1, 2, 1, 2)
    assert segments_from_masks(masks, (1, 8)).tolist() == [[[[0, 0, 0, 0, 0, 0, 1, 1]]]]
    assert segments_from_masks(masks)[0, 0, 0].repeat_interleave(4).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_upsampling_aligns_pixel_centres():
    # A mirrored mask stays mirrored, also for sizes that are no multiples.
    masks = soft_masks(1, 2, 4, 5, 6)
    segments = segments_from_masks(masks, (13, 17))
    assert torch.equal(segments_from_masks(masks.flip(-1), (13, 17)), segments.flip(-1))
    assert torch.equal(segments_from_masks(masks.flip(-2), (13, 17)), segments.flip(-2))


@pytest.mark.parametrize("size", [(16, 24), (3, 4), (8, 3)])
def test_resized_masks_still_sum_to_one(size):
    resized = resize_soft_masks(soft_masks(1, 3, 5, 8, 8)[0], size)
    assert resized.sum(dim=1) == pytest.approx(np.ones((3, *size)), abs=1e-6)


def test_the_same_size_changes_nothing_and_chunks_do_not_show(monkeypatch):
    masks = soft_masks(2, 3, 4, 8, 8)
    assert torch.equal(segments_from_masks(masks, (8, 8)), masks.argmax(dim=2))
    whole = segments_from_masks(masks, (32, 20))
    monkeypatch.setattr("slotkeeper.masks._CHUNK_VALUES", 1)
    assert torch.equal(segments_from_masks(masks, (32, 20)), whole)


def test_half_precision_masks_give_the_segments_of_float32():
    masks = soft_masks(1, 2, 4, 8, 8).bfloat16()
    assert torch.equal(segments_from_masks(masks, (16, 16)), segments_from_masks(masks.float(), (16, 16)))


def test_size_must_be_positive():
    with pytest.raises(ValueError, match="0 x 4"):
        segments_from_masks(soft_masks(1, 1, 2, 4, 4), (0, 4))


def test_hard_labels_are_repeated_when_they_go_up_and_picked_when_they_go_down():
    labels = np.array([[[1, 2], [3, 60_000]]], dtype=np.uint16)
    large = resize_segments(labels, (4, 6))
    assert large[0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 60_000, 60_000, 60_000]] * 2
    assert large.dtype == np.uint16
    assert (resize_segments(large, (2, 2)) == labels).all()
    assert set(resize_segments(large, (3, 5)).flat) <= {1, 2, 3, 60_000}


def test_hard_labels_come_from_the_pixel_under_the_new_centre():
    assert resize_segments(np.array([[1, 2, 3]]), (1, 2)).tolist() == [[1, 3]]
    assert resize_segments(np.array([[1, 2, 3, 4]]), (1, 1)).tolist() == [[3]]
    assert resize_segments(np.array([[1, 2]]), (1, 3)).tolist() == [[1, 2, 2]]


def test_soft_masks_that_shrink_are_averaged_over_all_their_pixels():
    masks = torch.tensor([[1.0, 0.4, 0.4, 1.0], [0.0, 0.6, 0.6, 0.0]]).reshape(1, 1, 2, 1, 4)
    assert segments_from_masks(masks, (1, 1)).tolist() == [[[[0]]]]


def test_responsibilities_are_bayes_rule():
    masks = torch.tensor([0.5, 0.3, 0.2]).reshape(1, 1, 3, 1, 1)
    grey, frames = torch.tensor([0.1, 0.4, 0.9]), torch.full((1, 1, 3, 1, 1), 0.3)
    pictures = grey.reshape(1, 1, 3, 1, 1, 1).expand(-1, -1, -1, 3, -1, -1)
    likelihood = [
        float(m) * np.prod([np.exp(-((0.3 - g) ** 2) / (2 * 0.2**2))] * 3)
        for m, g in zip(masks.flatten(), grey.tolist(), strict=True)
    ]
    expected = torch.tensor(likelihood) / sum(likelihood)
    torch.testing.assert_close(responsibilities(masks, pictures, frames, 0.2).flatten(), expected.float())


def test_a_slot_without_any_mask_is_responsible_for_nothing_however_well_it_fits():
    masks = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1)
    pictures = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1, 1, 1).expand(-1, -1, -1, 3, -1, -1)
    seen = responsibilities(masks, pictures, torch.ones(1, 1, 3, 1, 1), 0.01)
    assert seen.flatten().tolist() == [1.0, 0.0]
