"""A decoder and a loss that rebuild flow or depth."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.decoders.broadcast import LightBroadcastDecoder
from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput


class TruthDecoder(LightBroadcastDecoder):
    """What the slots draw counts as flow (its first two colours) or as depth (the first one)."""

    def __init__(self, *, slot_dim: int, kind: str):
        super().__init__(slot_dim=slot_dim, width=8)
        self.target = kind  # type: ignore[assignment]
        self.num_channels = {"flow": 2, "depth": 1}[kind]

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        drawn = super().forward(trajectory, features, size)
        return Decoded(
            reconstruction=drawn.reconstruction[:, :, : self.num_channels],
            pictures=drawn.drawn[:, :, :, : self.num_channels],
            masks=drawn.masks,
            target=self.target,
        )


class TruthError(Loss):
    """Squared error of flow or depth. It refuses clips that carry segments, or that truth which it isn't about."""

    is_per_frame = True

    def __init__(self, *, kind: str):
        super().__init__()
        self.target = kind  # type: ignore[assignment]

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        flow, depth = clip.flow, clip.depth
        known, other = (flow, depth) if self.target == "flow" else (depth, flow)
        assert clip.segments is None
        assert other is None
        assert known is not None
        return (output.decoded.reconstruction - known).square().mean()
