"""A frozen backbone of a few hundred numbers, and a system that rebuilds flow or depth."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.decoders.broadcast import LightBroadcastDecoder
from slotkeeper.interfaces import BackboneEncoder, Loss
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput

STRIDE, WIDTH = 8, 6


class TinyBackbone(BackboneEncoder):
    """One random convolution, the same for the same seed, and a trained linear map. num_seen counts its frames."""

    feature_dim = 16
    target_dim = WIDTH
    label = "random features"
    num_seen = 0

    def __init__(self, *, seed: int = 0, scale: float = 1.0, is_frozen: bool = True):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        kernel = scale * torch.randn(WIDTH, 3, STRIDE, STRIDE, generator=generator)
        self.is_frozen = is_frozen
        self.seed = seed
        self.register_buffer("kernel", kernel, persistent=False)
        self.head = nn.Linear(WIDTH, self.feature_dim)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        return height // STRIDE, width // STRIDE

    @torch.no_grad()
    def targets_of(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Float[Tensor, "b t n f"], tuple[int, int]]:
        TinyBackbone.num_seen += frames.shape[0] * frames.shape[1]
        seen = functional.conv2d(frames.flatten(0, 1), self.get_buffer("kernel"), stride=STRIDE)
        grid = self.grid_of(frames.shape[-2], frames.shape[-1])
        return seen.flatten(2).transpose(1, 2).unflatten(0, frames.shape[:2]), grid

    def from_targets(
        self, targets: Float[Tensor, "b t n f"], grid: tuple[int, int], frames: Float[Tensor, "b t 3 h w"]
    ) -> Features:
        colors = functional.avg_pool2d(frames.flatten(0, 1), STRIDE).unflatten(0, frames.shape[:2])
        return Features(tokens=self.head(targets.float()), grid=grid, colors=colors, targets=targets.float())

    def fingerprint(self) -> str:
        return f"tiny, seed {self.seed}"


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
