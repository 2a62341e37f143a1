"""Small networks that several components use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_HAS_ONEDNN = torch.backends.mkldnn.is_available()


def mlp(input_dim: int, hidden_dim: int, output_dim: int, *, has_bias: bool = True) -> nn.Sequential:
    """Two linear layers with a GELU between them."""
    return nn.Sequential(
        nn.Linear(input_dim, hidden_dim, bias=has_bias), nn.GELU(), nn.Linear(hidden_dim, output_dim, bias=has_bias)
    )


def kaiming_convolution(
    input_dim: int, output_dim: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """A convolution whose output, behind a ReLU, is as large as its input at the start; biases are 0."""
    layer = nn.Conv2d(input_dim, output_dim, kernel, stride=stride, padding=padding)
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class GroupNorm(nn.GroupNorm):
    """In the weights' precision under autocast, too: PyTorch's is ten times slower on a CPU for bf16 channels last."""

    def forward(self, input: Tensor) -> Tensor:  # the name in the base class
        """Normalise groups of channels."""
        normalised: Tensor = super().forward(input.to(self.weight.dtype))
        return normalised


class Convolution(nn.Conv2d):
    """A convolution that doesn't hesitate over single small frames.

    PyTorch hands these to its oldest implementation on a CPU, which is several times slower than oneDNN's.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        is_plain = input.device.type == "cpu" and input.dtype == weight.dtype == torch.float32
        is_plain = is_plain and input.dim() == 4 and not isinstance(self.padding, str) and self.padding_mode == "zeros"
        if torch.is_grad_enabled() or not is_plain or torch.is_autocast_enabled("cpu") or not _HAS_ONEDNN:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        padding = [int(side) for side in self.padding]
        convolved: Tensor = torch.mkldnn_convolution(
            input, weight, bias, padding, self.stride, self.dilation, self.groups
        )
        return convolved


class TransposedConvolution(nn.ConvTranspose2d):
    """A transposed convolution that adds its bias afterwards: oneDNN's gradient with one is several times slower."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """As the base class without `output_size`."""
        assert output_size is None
        assert self.bias is not None
        padding, spare = ([int(side) for side in sides] for sides in (self.padding, self.output_padding))
        drawn = functional.conv_transpose2d(
            input, self.weight, None, self.stride, padding, spare, self.groups, self.dilation
        )
        return drawn.add_(self.bias.to(drawn.dtype)[:, None, None])


class ResidualBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions with group norm; keeps `b width h w`."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            GroupNorm(8, width),
            nn.GELU(),
            Convolution(width, width, 3, padding=1),
            GroupNorm(8, width),
            nn.GELU(),
            Convolution(width, width, 3, padding=1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Add the block's change to its input."""
        change: Tensor = self.layers(picture)
        return picture + change
