"""Times of frames ascend, whatever their stamps do."""

from __future__ import annotations

import pytest

from slotkeeper.data.clock import FrameClock

HOUR = 3600.0
WRAP = 2**33 / 90_000


def times(stamps: list[float | None], *, may_jump: bool = True) -> list[float]:
    clock = FrameClock(step=0.04, may_jump=may_jump)
    return [clock.time_of(stamp) for stamp in stamps]


def test_the_first_frame_is_at_zero_and_pauses_are_kept():
    assert times([7.0, 7.04, 9.5]) == pytest.approx([0, 0.04, 2.5])


def test_missing_and_repeated_stamps_go_on_by_a_step_and_change_nothing_later():
    assert times([1.0, None, 1.0, 2.0]) == pytest.approx([0, 0.04, 0.08, 1.0])
    assert times([None, None, 5.0, 5.04]) == pytest.approx([0, 0.04, 0.08, 0.12])


def test_a_transport_stream_begins_again_after_26_hours_without_a_gap():
    stamps = [WRAP - 1.0, WRAP - 0.5, 0.0, 0.5, 1.0]
    assert times(stamps) == pytest.approx([0, 0.5, 1.0, 1.5, 2.0], abs=1e-6)


def test_after_a_jump_times_go_on_by_a_step():
    assert times([0.0, 1.0, 5 * HOUR, 5 * HOUR + 1]) == pytest.approx([0, 1, 1.04, 2.04])
    assert times([5 * HOUR, 5 * HOUR + 1, 0.0, 1.0]) == pytest.approx([0, 1, 1.04, 2.04])


def test_where_stamps_cannot_jump_a_long_pause_is_a_pause():
    assert times([0.0, 600.0, 600.04], may_jump=False) == pytest.approx([0, 600, 600.04])
    assert times([600.0, 601.0, 0.0, 1.0], may_jump=False) == pytest.approx([0, 1, 1.04, 2.04])
