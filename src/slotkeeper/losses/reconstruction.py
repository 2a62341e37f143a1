"""Losses on the rebuilt pixels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import AvgPool2d

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.mixing import squared_errors, unlikelihood
from slotkeeper.types import Clip, VideoOutput


class PixelReconstruction(Loss):
    """Mean squared error between decoded and given frames, per colour value in [0, 1]."""

    is_per_frame = True
    target = "frames"

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, colours and pixels."""
        return (output.decoded.reconstruction - clip.frames).square().mean()


class ExpectedError(Loss):
    """Squared error of each slot's own picture, weighted by its mask: the error expected if one slot were drawn.

    It exceeds the error of the mixed picture by the slots' variance at each pixel, so blending two wrong colours into
    a right one is paid for, and masks become sure of themselves.
    """

    is_per_frame = True
    target = "frames"
    reads_pictures = True

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, colours and pixels."""
        errors = squared_errors(output.decoded.drawn, clip.frames) / clip.frames.shape[2]
        return (output.decoded.masks * errors).sum(dim=2).mean()


class MixtureLikelihood(Loss):
    """Negative log-likelihood per pixel of a mixture of the slots' pictures, weighted by their masks.

    Each slot explains a pixel alone, as in spatial mixture models (N-EM, arXiv 1708.03498; MONet, arXiv 1901.11390),
    so blending two wrong colours into a right one earns nothing. The normal distributions have the standard deviation
    `sigma` in RGB of [0, 1]; constants are left out, so a perfect picture with sure masks has loss 0.

    A pixel on an outline mixes two colours, fits neither side, and looks alike all around the picture: an invitation to
    a slot that explains outlines and nothing else. `edge_tolerance` times the variance of the frame's 3 x 3 pixels
    there is added to sigma squared, so that outlines count less than surfaces.
    """

    is_per_frame = True
    target = "frames"
    reads_pictures = True

    def __init__(self, *, sigma: float = 0.1, edge_tolerance: float = 0.0):
        super().__init__()
        if not 0 < sigma < float("inf"):
            raise ConfigError(f"sigma of loss 'mixture' must be positive and finite, got {sigma}")
        if not 0 <= edge_tolerance < float("inf"):
            raise ConfigError(f"edge_tolerance of loss 'mixture' must be at least 0 and finite, got {edge_tolerance}")
        self.variance = sigma**2
        self.edge_tolerance = edge_tolerance

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and pixels."""
        errors = squared_errors(output.decoded.drawn, clip.frames)
        if self.edge_tolerance:
            errors = errors / (1 + self.edge_tolerance / self.variance * local_variance(clip.frames)[:, :, None])
        return unlikelihood(output.decoded.masks, errors, self.variance).mean()


def local_variance(frames: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T H W"]:
    """Variance of the 3 x 3 pixels around each pixel, mean over colours: high where two surfaces meet."""
    flat = frames.flatten(0, 1).float()
    around = AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    variance = (around(flat.square()) - around(flat).square()).clamp_min(0).mean(dim=1)
    by_frame: Tensor = variance.unflatten(0, frames.shape[:2])
    return by_frame
