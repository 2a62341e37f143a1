"""The picture networks under LPIPS, cut where it reads them; their weights' names are those of torchvision.

AlexNet in its one-tower form (Krizhevsky 2014, arXiv 1404.5997), VGG-16 (Simonyan & Zisserman 2015, arXiv 1409.1556)
and SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360), each without its classifier.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.nn.frozen import freeze

_Trunk = TypeVar("_Trunk", bound="Trunk")


class Trunk(nn.Module, ABC):
    """A picture network that is only read: always in evaluation mode, and once frozen neither trained nor saved.

    channels: width of each stage that is read. min_side: pixels of the smallest picture. shift, scale: what the
    network was trained with, for RGB in [0, 1]: (picture - shift) / scale. unread: how the names of weights begin
    that a full network has beside these.
    """

    channels: tuple[int, ...]
    min_side: int
    shift: tuple[float, float, float] = (0.485, 0.456, 0.406)
    scale: tuple[float, float, float] = (0.229, 0.224, 0.225)
    unread: tuple[str, ...] = ("classifier.",)

    @abstractmethod
    def stages(self, pictures: Float[Tensor, "m 3 h w"]) -> list[Tensor]:
        """What each stage makes of shifted and scaled pictures, `m d gh gw` each."""

    def forward(self, pictures: Float[Tensor, "m 3 h w"]) -> list[Tensor]:
        """What each stage makes of pictures in [0, 1]."""
        shift, scale = (
            torch.tensor(value, device=pictures.device)[:, None, None] for value in (self.shift, self.scale)
        )
        return self.stages((pictures - shift) / scale)

    def train(self: _Trunk, mode: bool = True) -> _Trunk:
        """Stay in evaluation mode."""
        return super().train(False)

    def freeze(self) -> None:
        """Neither train nor save it, see `slotkeeper.nn.frozen.freeze`."""
        freeze(self)


class LayeredTrunk(Trunk):
    """A plain sequence of layers, some of which are read."""

    features: nn.Sequential
    read_after: tuple[int, ...]

    def stages(self, pictures: Float[Tensor, "m 3 h w"]) -> list[Tensor]:
        """Run the layers up to the last that is read."""
        seen = []
        for index, layer in enumerate(self.features):
            pictures = layer(pictures)
            if index in self.read_after:
                seen.append(pictures)
        return seen


class AlexNetTrunk(LayeredTrunk):
    """Five convolutions, read after each one's activation."""

    channels = (64, 192, 384, 256, 256)
    read_after = (1, 4, 7, 9, 11)
    min_side = 31

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        )


class VggTrunk(LayeredTrunk):
    """Thirteen convolutions in five groups, read at each group's end before the picture is halved."""

    channels = (64, 128, 256, 512, 512)
    read_after = (3, 8, 15, 22, 29)
    min_side = 16

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, (width, depth) in enumerate(zip(self.channels, (2, 2, 3, 3, 3), strict=True)):
            if number:
                layers.append(nn.MaxPool2d(2, 2))
            for _ in range(depth):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
        self.features = nn.Sequential(*layers)


class SqueezeNetTrunk(LayeredTrunk):
    """A convolution and eight fire blocks; the last four blocks are each read."""

    channels = (64, 128, 256, 384, 384, 512, 512)
    read_after = (1, 4, 7, 9, 10, 11, 12)
    min_side = 17

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(64, 16, 64), Fire(128, 16, 64)),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(128, 32, 128), Fire(256, 32, 128)),
            *(nn.MaxPool2d(3, 2, ceil_mode=True), Fire(256, 48, 192), Fire(384, 48, 192)),
            *(Fire(384, 64, 256), Fire(512, 64, 256)),
        )


class Fire(nn.Module):
    """A narrow 1x1 convolution, then a 1x1 and a 3x3 side by side, `width` channels each."""

    def __init__(self, input_dim: int, squeezed_dim: int, width: int):
        super().__init__()
        self.squeeze = nn.Conv2d(input_dim, squeezed_dim, 1)
        self.expand1x1 = nn.Conv2d(squeezed_dim, width, 1)
        self.expand3x3 = nn.Conv2d(squeezed_dim, width, 3, padding=1)

    def forward(self, picture: Float[Tensor, "m c h w"]) -> Float[Tensor, "m d h w"]:
        """Twice `width` channels."""
        squeezed = self.squeeze(picture).relu()
        return torch.cat((self.expand1x1(squeezed), self.expand3x3(squeezed)), dim=1).relu()
