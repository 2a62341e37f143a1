"""Clips of many scenes, rendered together in torch on any device; the same code as for single videos draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from slotkeeper.scenes.arrays import Array
from slotkeeper.scenes.render import paint, point_flow
from slotkeeper.scenes.stage import Scene, Stage, set_stage

_MOST_PIXELS = 2**22
"""Traced together, so that batches of any size go: a GPU takes about 0.6 KB for each."""


@dataclass(frozen=True, kw_only=True)
class RenderedClips:
    """Clips and their truth, as in `RenderedVideo`; flow is None unless it was asked for."""

    frames: UInt8[Tensor, "b t h w 3"]
    segments: UInt8[Tensor, "b t h w"]
    depth: Float[Tensor, "b t h w"]
    flow: Float[Tensor, "b t h w 2"] | None


def draw_clips(
    scenes: Sequence[Scene],
    *,
    starts: Sequence[int],
    num_frames: int,
    size: int,
    device: torch.device | None = None,
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
        device: Where to render, in torch, and where the clips stay; None for the CPU in NumPy, one scene after the
            other, which is faster there.
        frame_stride: Every how many-th frame a clip takes.
        num_samples: Samples per pixel and axis at edges.
        with_flow: Give flow too; it leads to the scene's next frame, whatever the stride.

    Raises:
        ConfigError: the scenes are not of one family.
    """
    height, width = scenes[0].camera.picture(size)
    share = 1 if device is None else max(1, _MOST_PIXELS // (num_frames * height * width))
    parts = []
    for first in range(0, len(scenes), share):
        stage = set_stage(scenes[first : first + share], device)
        begins = np.array(stage.first_moments[:-1]) + starts[first : first + share]
        moments = (begins[:, None] + np.arange(num_frames) * frame_stride).reshape(-1)
        chosen = moments if device is None else torch.from_numpy(moments).to(device)
        parts.append(_draw(stage, chosen, num_frames, size, num_samples, with_flow=with_flow))
    return joined(parts)


@torch.no_grad()
def _draw(
    stage: Stage, moments: Int[Array, " m"], num_frames: int, size: int, num_samples: int, *, with_flow: bool
) -> RenderedClips:
    seen, frames = paint(stage, moments, size=size, num_samples=num_samples)
    segments = stage.labels[seen.owner, seen.rays.frame if stage.labels.shape[1] > 1 else 0]
    flow = point_flow(stage, seen, size) if with_flow else None
    grid = (-1, num_frames, *frames.shape[1:3])
    return RenderedClips(
        frames=torch.as_tensor(frames).reshape(*grid, 3),
        segments=torch.as_tensor(segments).to(torch.uint8).reshape(grid),
        depth=torch.as_tensor(seen.distance).reshape(grid),
        flow=None if flow is None else torch.as_tensor(flow).reshape(*grid, 2),
    )


def joined(parts: Sequence[RenderedClips]) -> RenderedClips:
    """Clips of one length and size as one batch."""
    flows = [part.flow for part in parts if part.flow is not None]
    return RenderedClips(
        frames=torch.cat([part.frames for part in parts]),
        segments=torch.cat([part.segments for part in parts]),
        depth=torch.cat([part.depth for part in parts]),
        flow=torch.cat(flows) if flows else None,
    )
