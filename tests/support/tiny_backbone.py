"""A backbone of any width without pretraining: blocks of pixels through a fixed random map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slotkeeper.encoders.pretrained import PretrainedEncoder
from slotkeeper.nn.frozen import weights_sha256


class _RandomPatches(nn.Module):
    def __init__(self, stride: int, width: int, seed: int):
        super().__init__()
        self.stride = stride
        private = torch.Generator().manual_seed(seed)
        self.register_buffer("weights", torch.randn(3 * stride**2, width, generator=private) / stride)

    def forward(self, pictures: Tensor) -> Tensor:
        return nn.functional.unfold(pictures, self.stride, stride=self.stride).transpose(1, 2) @ self.weights


class TinyBackbone(PretrainedEncoder):
    """Stands for a vision transformer with tokens of `width` numbers. num_seen counts its frames, of all instances."""

    name = "tiny"
    label = "random features"
    num_seen = 0

    def __init__(
        self,
        *,
        width: int = 6,
        stride: int = 8,
        feature_dim: int = 16,
        hidden_dim: int | None = None,
        has_positions: bool = False,
        is_frozen: bool = True,
        seed: int = 0,
    ):
        backbone = _RandomPatches(stride, width, seed)
        super().__init__(
            backbone=backbone,
            description=f"tiny, seed {seed}",
            weights_sha256=weights_sha256(backbone),
            stride=stride,
            target_dim=width,
            feature_dim=feature_dim,
            hidden_dim=hidden_dim,
            has_positions=has_positions,
            is_frozen=is_frozen,
        )

    def look(self, pictures: Tensor) -> Tensor:
        TinyBackbone.num_seen += len(pictures)
        seen: Tensor = self.backbone(pictures)
        return seen
