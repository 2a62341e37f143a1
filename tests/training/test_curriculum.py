"""A curriculum's stages, and the frames that they see."""

from __future__ import annotations

import pytest

from slotkeeper.config import TrainingConfig
from slotkeeper.errors import ConfigError
from slotkeeper.training.curriculum import check_shares, frames_seen, stage_at

GROWING = TrainingConfig(steps=100, clip_length=[(0, 2), (10, 4)], batch_size=[(0, 8), (30, 6)])


def test_a_stage_begins_at_its_step():
    assert stage_at(GROWING, 9) == {"clip_length": 2, "batch_size": 8}
    assert stage_at(GROWING, 10) == {"clip_length": 4, "batch_size": 8}
    assert stage_at(GROWING, 99) == {"clip_length": 4, "batch_size": 6}


@pytest.mark.parametrize("num_steps", [0, 1, 10, 11, 30, 31, 100])
def test_frames_are_those_of_all_steps_before(num_steps: int):
    stages = [stage_at(GROWING, step) for step in range(num_steps)]
    assert frames_seen(GROWING, num_steps) == sum(stage["clip_length"] * stage["batch_size"] for stage in stages)


def test_every_batch_is_shared_equally_or_refused():
    check_shares(GROWING, 2)
    with pytest.raises(ConfigError, match="batch_size 6 can't be shared equally by 4 processes; 4 can"):
        check_shares(GROWING, 4)
