"""Clips of many scenes rendered at once, in torch, on any device; the same code as for single videos draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from slotkeeper.scenes.render import paint, point_flow
from slotkeeper.scenes.stage import Scene, set_stage

_MOST_PIXELS = {"cpu": 2**16, "cuda": 2**22}
"""Traced together: on the CPU what its caches hold well; a GPU takes about 0.6 KB for each."""


@dataclass(frozen=True, kw_only=True)
class RenderedClips:
    """Clips and their truth, as in `RenderedVideo`; flow is None unless it was asked for."""

    frames: UInt8[Tensor, "b t h w 3"]
    segments: UInt8[Tensor, "b t h w"]
    depth: Float[Tensor, "b t h w"]
    flow: Float[Tensor, "b t h w 2"] | None


@torch.no_grad()
def draw_clips(
    scenes: Sequence[Scene],
    *,
    starts: Sequence[int],
    num_frames: int,
    size: int,
    device: torch.device,
    frame_stride: int = 1,
    num_samples: int = 2,
    with_flow: bool = False,
) -> RenderedClips:
    """Render one clip of each scene. Up to rounding its pictures are those of `draw`.

    Args:
        scenes: Of one family.
        starts: Each clip's first frame.
        num_frames: Of each clip.
        size: Width in pixels.
        device: Where to render and where the clips stay.
        frame_stride: Every how many-th frame a clip takes.
        num_samples: Samples per pixel and axis at edges.
        with_flow: Give flow too; it leads to the scene's next frame, whatever the stride.

    Raises:
        ConfigError: the scenes are not of one family.
    """
    height, width = scenes[0].camera.picture(size)
    share = max(1, _MOST_PIXELS[device.type] // (num_frames * height * width))
    steps = torch.arange(num_frames, device=device) * frame_stride
    parts = []
    for first in range(0, len(scenes), share):
        chosen = slice(first, first + share)
        stage = set_stage(scenes[chosen], device)
        begins = zip(stage.first_moments, starts[chosen], strict=False)
        begin = torch.tensor([moment + start for moment, start in begins], device=device)
        moments = (begin[:, None] + steps).reshape(-1)
        seen, frames = paint(stage, moments, size=size, num_samples=num_samples)
        segments = stage.labels[seen.owner, seen.rays.frame if stage.labels.shape[1] > 1 else 0]
        flow = point_flow(stage, seen, size).reshape(-1, num_frames, height, width, 2) if with_flow else None
        grid = (-1, num_frames, height, width)
        parts.append(
            (frames.reshape(*grid, 3), segments.to(torch.uint8).reshape(grid), seen.distance.reshape(grid), flow)
        )
    frames, segments, depth, flows = zip(*parts, strict=True)
    return RenderedClips(
        frames=torch.cat(frames),
        segments=torch.cat(segments),
        depth=torch.cat(depth),
        flow=torch.cat(flows) if with_flow else None,
    )
