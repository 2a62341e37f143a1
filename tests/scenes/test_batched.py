"""Many scenes drawn at once in torch give the pictures and the truth that each alone gives in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slotkeeper.errors import ConfigError
from slotkeeper.scenes import batched
from slotkeeper.scenes.batched import RenderedClips, draw_clips
from slotkeeper.scenes.families import CLEVR, CLEVRER, FAMILIES, find_family
from slotkeeper.scenes.render import RenderedVideo, draw
from slotkeeper.scenes.sampling import sample_scene

CPU = torch.device("cpu")


def assert_alike(clips: RenderedClips, videos: list[RenderedVideo], frames: list[list[int]]) -> None:
    """Equal but for rounding; `frames` are those of each video that are in its clip."""
    for row, (video, chosen) in enumerate(zip(videos, frames, strict=True)):
        apart = np.abs(clips.frames[row].cpu().numpy().astype(int) - video.frames[chosen]).max(axis=-1)
        assert (apart > 1).mean() < 1e-3
        same = clips.segments[row].cpu().numpy() == video.segments[chosen]
        assert same.mean() > 0.999
        np.testing.assert_allclose(clips.depth[row].cpu().numpy()[same], video.depth[chosen][same], atol=1e-4)
        if clips.flow is not None:
            np.testing.assert_allclose(clips.flow[row].cpu().numpy()[same], video.flow[chosen][same], atol=1e-3)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_batch_of_scenes_is_drawn_as_each_alone(family: str):
    scenes = [sample_scene(find_family(family), seed=seed, num_frames=5) for seed in (1, 2, 3)]
    videos = [draw(scene, num_frames=5, size=48, num_samples=2) for scene in scenes]
    clips = draw_clips(scenes, starts=[0, 2, 1], num_frames=3, size=48, device=CPU, with_flow=True)
    assert_alike(clips, videos, [[0, 1, 2], [2, 3, 4], [1, 2, 3]])
    assert clips.segments.max() > 2


def test_a_stride_leaves_frames_out():
    scenes = [sample_scene(CLEVR, seed=seed, num_frames=6) for seed in (4, 5)]
    videos = [draw(scene, num_frames=6, size=32, num_samples=1) for scene in scenes]
    clips = draw_clips(scenes, starts=[0, 1], num_frames=3, size=32, device=CPU, frame_stride=2, num_samples=1)
    assert_alike(clips, videos, [[0, 2, 4], [1, 3, 5]])
    assert clips.flow is None


def test_how_many_are_traced_together_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    scenes = [sample_scene(CLEVR, seed=seed, num_frames=2) for seed in range(5)]
    drawn = []
    for most in (1, 2 * 2 * 32 * 32, 2**20):
        monkeypatch.setattr(batched, "_MOST_PIXELS", most)
        drawn.append(draw_clips(scenes, starts=[0] * 5, num_frames=2, size=32, device=CPU))
    for other in drawn[1:]:
        assert (other.frames.int() - drawn[0].frames.int()).abs().max() <= 1
        torch.testing.assert_close(other.segments, drawn[0].segments)


def test_without_a_device_clips_have_the_very_bytes_of_the_videos():
    scenes = [sample_scene(CLEVR, seed=seed, num_frames=4) for seed in (4, 5)]
    videos = [draw(scene, num_frames=4, size=32, num_samples=2) for scene in scenes]
    clips = draw_clips(scenes, starts=[0, 1], num_frames=3, size=32, with_flow=True)
    for row, video in enumerate(videos):
        chosen = slice(row, row + 3)
        np.testing.assert_array_equal(clips.frames[row], video.frames[chosen])
        np.testing.assert_array_equal(clips.segments[row], video.segments[chosen])
        np.testing.assert_array_equal(clips.flow[row], video.flow[chosen])


def test_scenes_of_two_families_are_refused():
    scenes = [sample_scene(family, seed=0, num_frames=1) for family in (CLEVR, CLEVRER)]
    with pytest.raises(ConfigError, match="must be of one family"):
        draw_clips(scenes, starts=[0, 0], num_frames=1, size=32, device=CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_gpu_draws_the_same(family: str):
    scenes = [sample_scene(find_family(family), seed=seed, num_frames=4) for seed in (1, 2, 3)]
    videos = [draw(scene, num_frames=4, size=48, num_samples=2) for scene in scenes]
    clips = draw_clips(scenes, starts=[0] * 3, num_frames=4, size=48, device=torch.device("cuda"), with_flow=True)
    assert clips.frames.device.type == "cuda"
    assert_alike(clips, videos, [[0, 1, 2, 3]] * 3)
