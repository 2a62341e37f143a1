"""No prediction: slots of t start t + 1 as they are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.interfaces import Predictor
from slotkeeper.noise import VideoNoise
from slotkeeper.types import PastFrames


class IdentityPredictor(Predictor):
    """Return the slots unchanged."""

    def forward(
        self,
        slots: Float[Tensor, "b s d"],
        tokens: Float[Tensor, "b n e"],
        past: PastFrames | None = None,
        noise: VideoNoise | None = None,
    ) -> Float[Tensor, "b s d"]:
        """Return the slots unchanged."""
        return slots
