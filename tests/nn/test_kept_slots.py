"""Slots of clips seen before: never another clip's, and no more than there is room for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from slotkeeper.nn.kept_slots import KeptSlots


def of_frames(frames: Tensor) -> Tensor:
    """Slots that tell which clip they are of."""
    return frames.mean(dim=(2, 3, 4))[:, :, None, None].expand(-1, -1, 2, 3)


def maker(frames: Tensor, made: list[list[int]]) -> Callable[[list[int]], Tensor]:
    """Makes the slots of those clips that it is asked for, and notes which these are."""

    def make(places: list[int]) -> Tensor:
        made.append(places)
        return of_frames(frames[places])

    return make


def clips(*seeds: int) -> Tensor:
    return torch.stack([torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_each_clip_is_made_once_and_keeps_its_own_slots(dtype: torch.dtype):
    made: list[list[int]] = []
    kept = KeptSlots()
    for seeds in ((0, 1), (1, 2, 0), (2, 1)):
        frames = clips(*seeds).to(dtype)
        torch.testing.assert_close(kept.of(frames, maker(frames, made)), of_frames(frames))
    assert made == [[0, 1], [1]]


def test_one_changed_pixel_is_another_clip():
    kept, frames = KeptSlots(), clips(0)
    kept.of(frames, maker(frames, []))
    changed = frames.clone()
    changed[0, 3, 2, 7, 7] += 0.5
    assert not torch.equal(kept.of(changed, maker(changed, [])), kept.of(frames, maker(frames, [])))


def test_without_room_slots_are_made_again():
    made: list[list[int]] = []
    kept = KeptSlots(most_bytes=4 * 2 * 3 * 4)  # one clip's
    for _ in range(2):
        torch.testing.assert_close(kept.of(clips(0, 1), maker(clips(0, 1), made)), of_frames(clips(0, 1)))
    assert made == [[0, 1], [1]]
