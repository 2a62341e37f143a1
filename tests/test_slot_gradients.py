"""The gradient on its way back through the frames, on a recurrence whose gradient is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from color_model import _ColorDecoder, _EmptyStart, _Palette, _PixelEncoder
from small_run import LENGTH, small_config, write_squares
from torch import Tensor

from slotkeeper.config import load_config
from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Corrector, Predictor
from slotkeeper.model import SlotModel
from slotkeeper.training import train
from slotkeeper.training.gradients import SlotGradients
from slotkeeper.types import Features, PlacedSlots


class _Keep(Corrector):
    """Slots are what they were, plus a constant that needs gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.push = torch.nn.Parameter(torch.ones(3))

    def forward(self, slots: PlacedSlots, frame: Features, **_: Any) -> tuple[PlacedSlots, Tensor]:
        attention = torch.full((len(frame.tokens), 2, frame.tokens.shape[2]), 0.5)
        return PlacedSlots(slots=slots.slots + self.push), attention


class _Double(Predictor):
    def forward(self, slots: Tensor, tokens: Tensor, past: Any = None, noise: Any = None) -> Tensor:
        return 2 * slots


def norms(bptt: Any, *, all_frames: bool = False) -> list[float]:
    model = SlotModel(
        encoder=_PixelEncoder(),
        initializer=_EmptyStart(2, 0),
        corrector=_Keep(),
        predictor=_Double(),
        decoder=_ColorDecoder(_Palette([[(255, 0, 0)], [(0, 0, 255)]])),
        bptt=bptt,
    ).train()
    gradients = SlotGradients()
    output = model(torch.rand(1, 4, 3, 8, 8), watch=gradients.watch)
    corrected = output.trajectory.corrected
    (corrected if all_frames else corrected[:, 3]).sum().backward()
    values = gradients.read()
    assert (values["slot_gradient_ratio"] - values["slot_gradient/00"] / values["slot_gradient/03"]) == 0
    return [values[f"slot_gradient/{index:02d}"] for index in range(4)]


@pytest.mark.parametrize(
    ("bptt", "growth"), [("full", [8, 4, 2, 1]), ("detach", [0, 0, 0, 1]), (2, [0, 0, 2, 1]), (3, [0, 0, 0, 1])]
)
def test_a_doubling_recurrence_doubles_the_gradient_with_each_frame_back(bptt: Any, growth: list[int]):
    one = 6**0.5  # the last frame's slots are 2 vectors of 3 values, each with the gradient 1
    assert norms(bptt) == pytest.approx([one * factor for factor in growth])


def test_losses_of_all_frames_add_up():
    assert norms("full", all_frames=True) == pytest.approx([6**0.5 * factor for factor in (15, 7, 3, 1)])


def test_norms_are_logged_by_frame_and_can_be_left_out(tmp_path: Path):
    videos = write_squares(tmp_path / "videos", 2)
    train(small_config(videos, clip_length="all", batch_size=1, steps=2), tmp_path / "run", show_progress=False)
    line = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {name for name in line if name.startswith("slot_gradient/")} == {
        f"slot_gradient/{index:02d}" for index in range(LENGTH)
    }
    assert line["clip_length"] == LENGTH
    assert load_config(tmp_path / "run" / "config.yaml").training.clip_length == [(0, LENGTH)]
    train(small_config(videos, steps=2, log_slot_gradients=False), tmp_path / "other", show_progress=False)
    assert "slot_gradient" not in (tmp_path / "other" / "metrics.jsonl").read_text()


def test_clips_of_whole_videos_can_come_last_and_follow_the_stride(tmp_path: Path):
    videos = write_squares(tmp_path / "videos", 1)
    config = small_config(videos, clip_length=[[0, 2], [1, "all"]], batch_size=1, steps=2, log_every=1)
    config = replace(config, data=replace(config.data, frame_stride=3))
    train(config, tmp_path / "run", show_progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["clip_length"] for line in lines] == [2, 3]  # frames 0, 3 and 6 of 8


def test_another_word_for_a_length_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"training.clip_length must be .*'all'"):
        small_config(tmp_path, clip_length="most")
