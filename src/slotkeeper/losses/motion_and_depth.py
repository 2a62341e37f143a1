"""Losses on rebuilt optical flow and depth, as SAVi and SAVi++ have them (arXiv 2111.12594 and 2206.07764)."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from slotkeeper.errors import ConfigError, DataError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.colors import flow_colors
from slotkeeper.nn.mixing import squared_errors, unlikelihood
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
        _require_positive("full_speed", "flow_reconstruction", full_speed)
        self.full_speed = full_speed

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, colours and pixels.

        Raises:
            DataError: the clip has no flow.
        """
        flow = _flow_of(clip, "flow_reconstruction")
        errors = (output.decoded.rebuilt("flow") - flow_colors(flow, self.full_speed)).square()
        return (errors.flatten(2).mean(dim=2) * _moves(flow)).mean()


class FlowMixture(Loss):
    """Negative log-likelihood per pixel of the clip's flow as colours: the loss `mixture`, on flow.

    One slot explains a pixel alone, so that slots can't share what moves by mixing wrong colours into a right one.
    sigma: standard deviation of the colours, in [0, 1]. full_speed and frames at rest: as in `flow_reconstruction`.
    """

    is_per_frame = True
    target = "flow"
    reads_pictures = True

    def __init__(self, *, sigma: float = 0.2, full_speed: float = 0.02):
        super().__init__()
        _require_positive("sigma", "flow_mixture", sigma)
        _require_positive("full_speed", "flow_mixture", full_speed)
        self.variance = sigma**2
        self.full_speed = full_speed

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and pixels.

        Raises:
            DataError: the clip has no flow.
        """
        flow = _flow_of(clip, "flow_mixture")
        errors = squared_errors(output.decoded.drawn_part("flow"), flow_colors(flow, self.full_speed))
        unlikely = unlikelihood(output.decoded.masks, errors, self.variance)
        return (unlikely.flatten(2).mean(dim=2) * _moves(flow)).mean()


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


def _flow_of(clip: Clip, loss: str) -> Float[Tensor, "b t 2 h w"]:
    if clip.flow is None:
        raise DataError(f"the loss '{loss}' needs videos with flow beside them, got none")
    return clip.flow


def _moves(flow: Float[Tensor, "b t 2 h w"]) -> Bool[Tensor, "b t"]:
    """Which frames have anything in motion."""
    return (flow.abs() > _REST).flatten(2).any(dim=2)


def _require_positive(name: str, loss: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name} of loss '{loss}' must be positive and finite, got {value}")
