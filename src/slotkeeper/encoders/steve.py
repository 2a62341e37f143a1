"""STEVE's encoder: convolutions with a token per pixel, or per 2 x 2 pixels (Singh et al. 2022, arXiv 2205.14065)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.encoders.grid import require_at_least
from slotkeeper.interfaces import Encoder
from slotkeeper.nn.blocks import kaiming_convolution
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.positions import position_grid
from slotkeeper.types import EncoderState, Features


class SteveEncoder(Encoder):
    """Four 5x5 convolutions with ReLU between them, positions added, then a layer norm and an MLP for each token.

    Sees each frame alone. stride: of the first convolution; the authors take 1 for frames of 64 x 64 and 2 for frames
    of 128 x 128; frames must be multiples of it. width: of the convolutions. Colours are the frames themselves.
    """

    def __init__(self, *, width: int = 64, feature_dim: int = 192, stride: int = 1):
        super().__init__()
        for name, value in (("width", width), ("feature_dim", feature_dim), ("stride", stride)):
            require_at_least(name, value, 1)
        self.feature_dim = feature_dim
        self.stride = stride
        self.layers = nn.Sequential(
            kaiming_convolution(3, width, 5, stride=stride, padding=2),
            nn.ReLU(),
            kaiming_convolution(width, width, 5, padding=2),
            nn.ReLU(),
            kaiming_convolution(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, feature_dim, 5, padding=2),
        )
        self.positions = nn.Linear(2, feature_dim)
        self.head = nn.Sequential(
            nn.LayerNorm(feature_dim),
            nn.Linear(feature_dim, feature_dim),
            nn.ReLU(),
            nn.Linear(feature_dim, feature_dim),
        )

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Encode each frame; there is no state.

        Raises:
            ConfigError: the frames' height or width is no multiple of the stride.
        """
        require_multiples((frames.shape[-2], frames.shape[-1]), self.stride, "the steve encoder")
        seen = self.layers(frames.flatten(0, 1)).permute(0, 2, 3, 1)
        rows, columns = seen.shape[1:3]
        placed = seen + self.positions(position_grid(rows, columns, frames.device))
        tokens = rearrange(self.head(placed), "(b t) h w d -> b t (h w) d", b=len(frames))
        return Features(tokens=tokens, grid=(rows, columns), colors=frames), None
