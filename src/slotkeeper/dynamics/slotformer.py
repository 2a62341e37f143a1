"""SlotFormer: a transformer over the slots of several frames (Wu et al. 2023, arXiv 2210.05861, section 3.2)."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Dynamics


class SlotFormer(Dynamics):
    """All slots of the last `burn_in` frames look at each other; those of the newest frame become the next frame's.

    Each slot is projected to `token_dim` and marked with how long ago its frame was, by sines; the slots of one frame
    have the same mark and are told apart by nothing else, so their order means nothing. Then come `num_layers` of
    self-attention and an MLP of `hidden_dim`, both residual with the norm first, and a projection back.

    is_residual: the last projection is a change to the newest slots, so that an untrained model repeats the last frame
    but for noise; the authors' code predicts the slots themselves.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        burn_in: int = 6,
        token_dim: int = 256,
        num_layers: int = 4,
        num_heads: int = 8,
        hidden_dim: int = 1024,
        is_residual: bool = False,
    ):
        super().__init__()
        if burn_in < 1:
            raise ConfigError(f"dynamics.burn_in must be at least 1 frame, got {burn_in}")
        if num_layers < 1:
            raise ConfigError(f"dynamics.num_layers must be at least 1, got {num_layers}")
        if hidden_dim < 1:
            raise ConfigError(f"dynamics.hidden_dim must be at least 1, got {hidden_dim}")
        if num_heads < 1 or token_dim < 2 or token_dim % 2 or token_dim % num_heads:
            raise ConfigError(
                f"dynamics.token_dim must be even and a multiple of num_heads, got {token_dim} with {num_heads} heads"
            )
        self.burn_in = burn_in
        self.token_dim = token_dim
        self.is_residual = is_residual
        self.project = nn.Linear(slot_dim, token_dim)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    token_dim, num_heads, hidden_dim, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(num_layers)
            )
        )
        self.predict = nn.Linear(token_dim, slot_dim)

    def forward(self, past: Float[Tensor, "b p s d"]) -> Float[Tensor, "b s d"]:
        """One frame ahead; see the class."""
        newest = past[:, -1]
        tokens = self.project(past) + age_marks(self.burn_in, self.token_dim, past.device)[:, None]
        seen = self.layers(tokens.flatten(1, 2))
        predicted: Tensor = self.predict(seen[:, -newest.shape[1] :])
        return newest + predicted if self.is_residual else predicted


@lru_cache(8)
@torch.inference_mode(False)  # what prediction makes first, training may need later
def age_marks(num_frames: int, width: int, device: torch.device | None = None) -> Float[Tensor, "p e"]:
    """Sines, then cosines, of how many frames ago each frame was, the newest (0 ago) last; wavelengths as usual."""
    ages = torch.arange(num_frames - 1, -1, -1, dtype=torch.float32, device=device)
    frequencies = 10000 ** (-torch.arange(0, width, 2, dtype=torch.float32, device=device) / width)
    angles = ages[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), dim=1)
