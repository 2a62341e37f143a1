"""SAVi's small encoder: convolutions at full resolution, one token per pixel (arXiv 2111.12594, appendix)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.encoders.grid import require_at_least
from slotkeeper.interfaces import Encoder
from slotkeeper.nn.positions import position_grid
from slotkeeper.types import EncoderState, Features


class SaviEncoder(Encoder):
    """5x5 convolutions with ReLU, a linear map of the position added, then a layer norm and an MLP for each token.

    Sees each frame alone, of any size. Costs a token per pixel: see `cnn` for sixteen times fewer.
    """

    def __init__(self, *, width: int = 32, num_layers: int = 4):
        super().__init__()
        require_at_least("width", width, 1)
        require_at_least("num_layers", num_layers, 1)
        self.feature_dim = width
        layers: list[nn.Module] = []
        for index in range(num_layers):
            layers += [nn.Conv2d(3 if index == 0 else width, width, 5, padding=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.positions = nn.Linear(2, width)
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Encode each frame; there is no state."""
        batch, _, _, height, width = frames.shape
        seen = self.layers(frames.flatten(0, 1)).permute(0, 2, 3, 1)
        placed = seen + self.positions(position_grid(height, width, frames.device))
        tokens = rearrange(self.head(placed), "(b t) h w d -> b t (h w) d", b=batch)
        return Features(tokens=tokens, grid=(height, width), colors=frames), None
