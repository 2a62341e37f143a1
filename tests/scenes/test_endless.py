"""Endless scenes: each clip is a function of the seed and its place, whoever makes it, and shows its scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from slotkeeper.data import Augmentation, ClipLoader
from slotkeeper.errors import ConfigError
from slotkeeper.scenes.endless import EndlessScenes
from slotkeeper.scenes.render import draw
from slotkeeper.types import Clip


def scenes(**settings: Any) -> EndlessScenes:
    usual = {"family": "plain", "seed": 0, "num_frames": 4, "clip_length": 2, "size": (32, 32)}
    return EndlessScenes(**(usual | settings))


def batches(source: EndlessScenes, count: int = 2, **settings: Any) -> list[Clip]:
    loader = ClipLoader(source, **({"batch_size": 2, "seed": 3, "prefetch": 0, "shuffle": False} | settings))
    clips = [next(loader) for _ in range(count)]
    loader.close()
    return clips


def test_a_clip_shows_a_part_of_its_scene():
    source = scenes(frame_stride=2, truth=("flow", "depth"), with_segments=True)
    sample = source.sample(seed=3, epoch=0, index=5)
    clip, start = source.collate([sample]), sample.plan.start
    video = draw(sample.scene, num_frames=4, size=32, num_samples=2)
    shown = slice(start, start + 3, 2)
    np.testing.assert_allclose(clip.frames[0].permute(0, 2, 3, 1) * 255, video.frames[shown], atol=1e-4)
    np.testing.assert_array_equal(clip.segments[0], video.segments[shown])
    np.testing.assert_array_equal(clip.depth[0, :, 0], video.depth[shown])
    np.testing.assert_array_equal(clip.flow[0].permute(0, 2, 3, 1), video.flow[shown])
    np.testing.assert_allclose(clip.times[0], np.array([start, start + 2]) / 12, rtol=1e-6)


def test_no_scene_comes_twice_and_another_seed_gives_others():
    ids = [name for clip in batches(scenes(), 4) for name in clip.video_ids]
    other = [name for clip in batches(scenes(seed=1), 2) for name in clip.video_ids]
    assert len({*ids, *other}) == 12


def test_ranks_share_the_batch_and_a_loader_goes_on_where_it_was():
    whole = batches(scenes(), 2)
    for rank in (0, 1):
        for mine, clip in zip(batches(scenes(), 2, rank=rank, world_size=2), whole, strict=True):
            assert torch.equal(mine.frames, clip.frames[rank : rank + 1])
    later = ClipLoader(scenes(), batch_size=2, seed=3, prefetch=1, shuffle=False)
    later.load_state_dict({"epoch": 0, "consumed": 2})
    assert torch.equal(next(later).frames, whole[1].frames)
    later.close()


def test_processes_in_the_background_make_the_same_clips():
    source = scenes(num_processes=1)
    made = batches(source, 1, num_workers=1)
    source.close()
    assert torch.equal(made[0].frames, batches(scenes(), 1)[0].frames)


def assert_alike_rendered_together(source: EndlessScenes, device: torch.device) -> None:
    """`source` renders one by one; the same scenes rendered as one batch on a device differ by rounding alone."""
    samples = [source.sample(seed=0, epoch=0, index=index) for index in range(3)]
    one_by_one = source.collate(samples)
    together = scenes(with_segments=True, device=device).collate([replace(sample, drawn=None) for sample in samples])
    assert together.frames.device.type == device.type
    apart = (together.frames.cpu() - one_by_one.frames).abs().amax(dim=2)
    assert (apart > 1.5 / 255).float().mean() < 1e-3
    assert (together.segments.cpu() == one_by_one.segments).float().mean() > 0.999


def test_a_batch_rendered_together_is_the_one_rendered_one_by_one():
    assert_alike_rendered_together(scenes(with_segments=True), torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_rendered_on_a_gpu_is_the_one_rendered_one_by_one():
    assert_alike_rendered_together(scenes(with_segments=True), torch.device("cuda"))


def test_augmentation_mirrors_and_recolours_what_is_the_same_scene():
    plain = scenes(truth=("flow",), with_segments=True)
    changed = scenes(truth=("flow",), with_segments=True, augmentation=Augmentation(flip=True, brightness=0.5))
    samples = [changed.sample(seed=0, epoch=0, index=index) for index in range(4)]
    assert {sample.is_mirrored for sample in samples} == {True, False}
    clip = changed.collate(samples)
    usual = plain.collate([plain.sample(seed=0, epoch=0, index=index) for index in range(4)])
    for row, sample in enumerate(samples):
        turned = (lambda picture: picture.flip(-1)) if sample.is_mirrored else (lambda picture: picture)
        torch.testing.assert_close(clip.segments[row], turned(usual.segments[row]))
        sign = -1 if sample.is_mirrored else 1
        torch.testing.assert_close(clip.flow[row, :, 0], sign * turned(usual.flow[row, :, 0]))
        scale = float(sample.colours[0, 0])
        torch.testing.assert_close(clip.frames[row], (scale * turned(usual.frames[row])).clamp(0, 1))


def test_frames_have_the_familys_shape():
    assert batches(scenes(family="clevrer", size=(32, 48)), 1)[0].frames.shape[-2:] == (32, 48)
    with pytest.raises(
        ConfigError, match=r"rendered at data.size, which for 'clevrer' must be \[32, 48\], got \[48, 48\]"
    ):
        scenes(family="clevrer", size=(48, 48))
