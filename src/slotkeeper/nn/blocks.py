"""Small networks that several components use."""

from __future__ import annotations

from torch import Tensor, nn


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


class ResidualBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions with group norm; keeps `b width h w`."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        """Add the block's change to its input."""
        change: Tensor = self.layers(picture)
        return picture + change
