"""The two networks of a discrete variational autoencoder (SLATE, Singh et al. 2021, arXiv 2110.11405, appendix).

Each square of 4 x 4 pixels gets one code of a vocabulary, from its own pixels alone; the way back sees more of the
neighbourhood. Widths and layers are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from slotkeeper.nn.blocks import kaiming_convolution

CODE_STRIDE = 4
"""Pixels along a side of what one code stands for."""
_NUM_MIXING = 6


def code_scorer(num_codes: int, width: int) -> nn.Sequential:
    """From pictures `m 3 h w` in [0, 1] to a logit of each code at each place, `m v h/4 w/4`."""
    layers: list[nn.Module] = [kaiming_convolution(3, width, CODE_STRIDE, stride=CODE_STRIDE), nn.ReLU()]
    for _ in range(_NUM_MIXING):
        layers += [kaiming_convolution(width, width, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, num_codes, 1))


def code_painter(num_codes: int, width: int) -> nn.Sequential:
    """From shares of the codes at each place, `m v rows columns`, to pictures four times as large, `m 3 h w`."""
    return nn.Sequential(
        kaiming_convolution(num_codes, width, 1),
        nn.ReLU(),
        *_doubled(width),
        *_doubled(width),
        nn.Conv2d(width, 3, 1),
    )


def _doubled(width: int) -> Iterator[nn.Module]:
    """Layers that end with twice the height and width."""
    yield from (kaiming_convolution(width, width, 3, padding=1), nn.ReLU())
    for _ in range(2):
        yield from (kaiming_convolution(width, width, 1), nn.ReLU())
    yield from (kaiming_convolution(width, 4 * width, 1), nn.ReLU(), nn.PixelShuffle(2))
