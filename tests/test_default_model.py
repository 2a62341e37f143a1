"""The models that come with the package."""

from __future__ import annotations

import numpy as np
import pytest

import slotkeeper
from slotkeeper.checkpoint import list_shipped_models
from slotkeeper.data import VideoFrame
from slotkeeper.scenes.render import render_video

FAMILIES = {"default": "plain", "clevr": "clevr", "clevrer": "clevrer"}


@pytest.mark.parametrize("name", [folder.name for folder in list_shipped_models()])
def test_it_finds_most_objects_of_a_scene_it_never_saw(name: str):
    video = render_video(FAMILIES[name], seed=2_000_003, num_frames=6, size=96)
    tracker = slotkeeper.load(name)
    given = [VideoFrame(pixels=pixels, time=index / 12, index=index) for index, pixels in enumerate(video.frames)]
    frames = list(tracker.track_frames(given))
    overlaps = []
    for label in range(1, int(video.segments.max()) + 1):
        truth = video.segments[-1] == label
        if truth.sum() >= 40:
            found = [(thing.mask & truth).sum() / (thing.mask | truth).sum() for thing in frames[-1].objects]
            overlaps.append(max(found, default=0.0))
    assert np.median(overlaps) > 0.5
