"""Losses on rebuilt optical flow and depth, as SAVi and SAVi++ have them (arXiv 2111.12594 and 2206.07764)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError, DataError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.colors import flow_colors
from slotkeeper.types import Clip, VideoOutput

_REST = 0.01
"""Pixels a frame that count as none: flow kept as whole numbers over some range, as MOVi has it, is never quite 0."""


class FlowReconstruction(Loss):
    """Mean squared error between what was decoded and the clip's flow as colours, see `flow_colors`.

    The authors' code (google-research/slot-attention-video, `preprocessing.py`) does the same, with colours that are
    full at a 50th of the picture's diagonal a frame. full_speed: that share. It takes the flow back to the frame
    before where the data has it; a clip's flow here is that to the next frame. A frame in which nothing moves by more
    than a hundredth of a pixel teaches nothing and counts as no error: a video's last frame, of which no flow is known,
    is such a one.
    """

    is_per_frame = True
    target = "flow"

    def __init__(self, *, full_speed: float = 0.02):
        super().__init__()
        if not 0 < full_speed < float("inf"):
            raise ConfigError(f"full_speed of loss 'flow_reconstruction' must be positive and finite, got {full_speed}")
        self.full_speed = full_speed

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, colours and pixels.

        Raises:
            DataError: the clip has no flow.
        """
        if clip.flow is None:
            raise DataError("the loss 'flow_reconstruction' needs videos with flow beside them, got none")
        moves = (clip.flow.abs() > _REST).flatten(2).any(dim=2)
        errors = (output.decoded.rebuilt("flow") - flow_colors(clip.flow, self.full_speed)).square()
        return (errors.flatten(2).mean(dim=2) * moves).mean()


class DepthReconstruction(Loss):
    """Mean squared error between what was decoded and log(1 + depth), with the depth in the data's own unit.

    The transform is that of the authors' SAVi++ config ("log_plus").
    """

    is_per_frame = True
    target = "depth"

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and pixels.

        Raises:
            DataError: the clip has no depth.
        """
        if clip.depth is None:
            raise DataError("the loss 'depth_reconstruction' needs videos with depth beside them, got none")
        return (output.decoded.rebuilt("depth") - clip.depth.clamp_min(0).log1p()).square().mean()
