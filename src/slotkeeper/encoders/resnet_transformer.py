"""SAVi++'s encoder: a ResNet, then a transformer over its grid (Elsayed et al. 2022, arXiv 2206.07764)."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.encoders.grid import require_at_least
from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Encoder
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.positions import position_grid
from slotkeeper.nn.resnet import SmallInputResNet
from slotkeeper.nn.self_attention import SelfAttentionBlock
from slotkeeper.types import EncoderState, Features


class ResnetTransformerEncoder(Encoder):
    """A ResNet-34 with group norm, a linear map of the position added, an MLP, and a pre-norm transformer over tokens.

    Widths and their names follow the authors' code (google-research/slot-attention-video, `savi++_conditional.py`):
    tokens are as wide as the ResNet's last stage, 512; `mlp_dim` is the hidden width of the MLP that each token passes
    after its position was added; `attention_dim` that of queries, keys and values, all heads together; `hidden_dim` of
    the transformer's own networks. num_blocks: of each stage of the ResNet; each but the first halves the picture, so
    frames must be multiples of 8 with four stages. num_layers: of the transformer; 0 is the encoder of SAVi's large
    config (arXiv 2111.12594). Sees each frame alone.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        num_blocks: tuple[int, ...] = (3, 4, 6, 3),
        mlp_dim: int = 64,
        num_layers: int = 4,
        num_heads: int = 4,
        attention_dim: int = 64,
        hidden_dim: int = 1024,
    ):
        super().__init__()
        for name, value in (("width", width), ("mlp_dim", mlp_dim), ("hidden_dim", hidden_dim)):
            require_at_least(name, value, 1)
        require_at_least("num_layers", num_layers, 0)
        if not num_blocks or min(num_blocks) < 1:
            raise ConfigError(f"encoder.num_blocks must be numbers from 1, one a stage, got {list(num_blocks)}")
        if num_heads < 1 or attention_dim < 1 or attention_dim % num_heads:
            raise ConfigError(f"encoder.num_heads must divide attention_dim {attention_dim}, got {num_heads}")
        self.resnet = SmallInputResNet(num_blocks, width)
        feature_dim = self.feature_dim = self.resnet.output_dim
        self.positions = nn.Linear(2, feature_dim)
        self.head = nn.Sequential(
            nn.LayerNorm(feature_dim), nn.Linear(feature_dim, mlp_dim), nn.ReLU(), nn.Linear(mlp_dim, feature_dim)
        )
        self.transformer = nn.Sequential(
            *[
                SelfAttentionBlock(feature_dim, num_heads=num_heads, attention_dim=attention_dim, hidden_dim=hidden_dim)
                for _ in range(num_layers)
            ]
        )

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Encode each frame; there is no state.

        Raises:
            ConfigError: the frames' height or width is no multiple of the ResNet's stride.
        """
        stride = self.resnet.stride
        require_multiples((frames.shape[-2], frames.shape[-1]), stride, "the resnet_transformer encoder")
        pictures = frames.flatten(0, 1)
        seen = self.resnet(pictures).permute(0, 2, 3, 1)
        grid = (int(seen.shape[1]), int(seen.shape[2]))
        placed = seen + self.positions(position_grid(*grid, frames.device))
        tokens = self.transformer(self.head(placed).flatten(1, 2))
        colors = functional.avg_pool2d(pictures, max(1, stride // 2))
        features = Features(
            tokens=rearrange(tokens, "(b t) n d -> b t n d", b=len(frames)),
            grid=grid,
            colors=colors.unflatten(0, frames.shape[:2]),
        )
        return features, None
