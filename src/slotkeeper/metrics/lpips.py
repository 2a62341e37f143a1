"""LPIPS of predicted pictures (Zhang et al. 2018, arXiv 1801.03924), on a trunk whose weights the user names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.nn.perceptual import Backbone, PerceptualDistance, load_perceptual_distance

LPIPS_BACKBONES: tuple[Backbone, ...] = ("alex", "vgg", "squeeze")
"""Those with published heads: a distance without them is no LPIPS."""
_AT_ONCE = 16


class Lpips:
    """How different pictures look to a network; what it stands on is part of the score's protocol.

    distance: with the published heads. label: the trunk and its weights, in words.
    """

    def __init__(self, distance: PerceptualDistance, label: str):
        self.distance = distance
        self.label = label

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse pictures that the trunk can't see.

        Raises:
            ConfigError: a side is below its smallest.
        """
        least = self.distance.trunk.min_side
        if min(size) < least:
            raise ConfigError(
                f"LPIPS on this trunk needs pictures of at least {least} pixels a side, those of this model have "
                f"{size[0]}x{size[1]}; leave --lpips out"
            )

    @torch.inference_mode()
    def __call__(
        self, predicted: Float[Tensor, "k 3 h w"], true: Float[Tensor, "k 3 h w"], device: torch.device
    ) -> Float[Tensor, " k"]:
        """Distance of each frame, on the CPU, at least 0 and 0 for equals; predictions are clipped to [0, 1]."""
        distance = self.distance.to(device)
        pairs = zip(predicted.clamp(0, 1).split(_AT_ONCE), true.split(_AT_ONCE), strict=True)
        return torch.cat([distance(first.to(device), second.to(device)).cpu() for first, second in pairs])


def load_lpips(backbone: Backbone, trunk_weights: str | None) -> Lpips:
    """LPIPS with its published heads, version 0.1.

    backbone: one of `LPIPS_BACKBONES`. trunk_weights: a safetensors file with torchvision's names, as the loss
    `perceptual` takes it.

    Raises:
        ConfigError: no file is named, or there are no published heads.
        CheckpointError: the file is missing, damaged, a pickle, or doesn't fit the trunk.
    """
    if backbone not in LPIPS_BACKBONES:
        raise ConfigError(f"LPIPS has published heads for {', '.join(LPIPS_BACKBONES)}, not for '{backbone}'")
    distance = load_perceptual_distance(backbone, trunk_weights, setting="--trunk-weights of --lpips")
    assert trunk_weights is not None
    with Path(trunk_weights).open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return Lpips(
        distance,
        f"LPIPS 0.1, trunk '{backbone}' with the weights {Path(trunk_weights).name} (SHA-256 {checksum}), published "
        "heads, pictures at the model's size",
    )
