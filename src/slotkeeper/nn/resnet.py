"""Residual networks for small pictures (He et al. 2015, arXiv 1512.03385), with group norm in place of batch norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_NUM_GROUPS = 32


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, as in ResNet-18 and ResNet-34; the first may shrink the picture.

    The last norm's scale starts at zero, so that a block begins as its shortcut.
    """

    def __init__(self, input_width: int, width: int, stride: int = 1):
        super().__init__()
        self.first = nn.Conv2d(input_width, width, 3, stride=stride, padding=1, bias=False)
        self.norm_first = _norm(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_second = _norm(width)
        nn.init.zeros_(self.norm_second.weight)
        is_same = input_width == width and stride == 1
        self.shortcut = (
            nn.Identity()
            if is_same
            else nn.Sequential(nn.Conv2d(input_width, width, 1, stride=stride, bias=False), _norm(width))
        )

    def forward(self, pictures: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d rows columns"]:
        """Add the block's change to its shortcut."""
        change = self.norm_second(self.second(functional.relu(self.norm_first(self.first(pictures)))))
        return functional.relu(self.shortcut(pictures) + change)


class SmallInputResNet(nn.Module):
    """A ResNet without its classifier, whose first convolution is 3x3 and keeps the size, with no pooling after it.

    num_blocks: of each stage; every stage but the first halves the picture and doubles the width. width: of the first
    stage. output_dim, stride: of what comes out. With (3, 4, 6, 3) and 64 it is the ResNet-34 of SAVi's large config
    and of SAVi++ (arXiv 2206.07764): 512 channels, an eighth of the size. As there, no ReLU follows the first norm.
    """

    def __init__(self, num_blocks: Sequence[int], width: int):
        super().__init__()
        widths = [width * 2**stage for stage in range(len(num_blocks))]
        self.output_dim = widths[-1]
        self.stride = 2 ** (len(num_blocks) - 1)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), _norm(width))
        blocks: list[nn.Module] = []
        for stage, (before, after) in enumerate(pairwise([width, *widths])):
            blocks.append(BasicBlock(before, after, stride=1 if stage == 0 else 2))
            blocks += [BasicBlock(after, after) for _ in range(num_blocks[stage] - 1)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, pictures: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m d rows columns"]:
        """Each picture alone."""
        seen: Tensor = self.blocks(self.stem(pictures))
        return seen


def _norm(width: int) -> nn.GroupNorm:
    """Of 32 groups, or as many as narrow layers can be cut into."""
    return nn.GroupNorm(math.gcd(_NUM_GROUPS, width), width)
