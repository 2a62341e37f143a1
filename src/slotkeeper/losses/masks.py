"""Prices on masks."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.ramp import risen
from slotkeeper.types import Clip, VideoOutput


class MaskSparsity(Loss):
    """Sum over slots, background aside, of the square root of the mask's share of the picture.

    The root makes one large mask cheaper than two halves, so an object held by two slots is given to one of them, and
    spare slots fall empty. `num_background` first slots are free. The price rises linearly from 0 to its full height
    between the two shares of the training named by `ramp`: from the start it would merge what is not yet told apart.
    """

    is_per_frame = True

    def __init__(self, *, num_background: int = 1, ramp: tuple[float, float] = (0.3, 0.8)):
        super().__init__()
        if not 0 <= ramp[0] < ramp[1] <= 1:
            raise ConfigError(f"ramp of loss 'mask_sparsity' must be two rising shares within [0, 1], got {ramp}")
        self.num_background = num_background
        self.ramp = ramp

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch and time."""
        areas = output.decoded.masks[:, :, self.num_background :].mean(dim=(-2, -1))
        return risen(self.ramp, progress) * (areas + 1e-4).sqrt().sum(dim=2).mean()


class MaskEntropy(Loss):
    """Entropy of the masks over slots, pushing to one slot per pixel.

    Of each pixel, in nats and not normalised: from 0 where one slot has it to the log of the number of slots where all
    share it evenly. The background's slots count as all others do.
    """

    is_per_frame = True

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and pixels."""
        masks = output.decoded.masks
        return -(masks * masks.clamp_min(1e-8).log()).sum(dim=2).mean()
