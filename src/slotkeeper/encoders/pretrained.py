"""What encoders on pretrained backbones share: the backbone's place in training, and the head on top of it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.encoders.grid import require_at_least
from slotkeeper.errors import CheckpointError
from slotkeeper.interfaces import BackboneEncoder
from slotkeeper.nn.frame_size import require_multiples
from slotkeeper.nn.frozen import freeze
from slotkeeper.nn.positions import position_grid
from slotkeeper.types import Features

_Encoder = TypeVar("_Encoder", bound="PretrainedEncoder")


class PretrainedEncoder(BackboneEncoder):
    """Base: a backbone, then a layer norm and a ReLU MLP for each token (DINOSAUR, arXiv 2209.14860; VideoSAUR).

    The backbone is always in evaluation mode: without dropout, and without statistics of the batch. Frozen, it runs
    without gradient and is not part of the saved weights: it is read again from where it came from, and must then be
    the same, which the saved `backbone_hash` tells. Fine-tuned, it is trained and saved like the rest.

    name: as in the catalogue, for errors. description, weights_sha256: backbone and settings, and hash of the weights,
    for the fingerprint. stride: pixels of a token's side. hidden_dim: of the MLP; None is twice the backbone's width.
    has_positions: a linear map of each token's place is added before the MLP.
    """

    name: str

    def __init__(
        self,
        *,
        backbone: nn.Module,
        description: str,
        weights_sha256: str,
        stride: int,
        target_dim: int,
        feature_dim: int,
        hidden_dim: int | None,
        has_positions: bool,
        is_frozen: bool,
    ):
        super().__init__()
        hidden_dim = 2 * target_dim if hidden_dim is None else hidden_dim
        require_at_least("feature_dim", feature_dim, 1)
        require_at_least("hidden_dim", hidden_dim, 1)
        self.feature_dim, self.stride = feature_dim, stride
        self.is_frozen = is_frozen
        self.target_dim = target_dim if is_frozen else 0
        self.backbone = backbone.eval()
        self._fingerprint = f"{description}, sha256 {weights_sha256}"
        if is_frozen:
            freeze(backbone)
            self.register_buffer("backbone_hash", torch.tensor(list(bytes.fromhex(weights_sha256)), dtype=torch.uint8))
        self.norm = nn.LayerNorm(target_dim)
        self.positions = nn.Linear(2, target_dim) if has_positions else None
        self.head = nn.Sequential(nn.Linear(target_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, feature_dim))

    @abstractmethod
    def look(self, pictures: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m n f"]:
        """What the backbone makes of pictures in [0, 1], row by row."""

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """A token for each square of `stride` pixels.

        Raises:
            ConfigError: height or width is no multiple of the stride.
        """
        require_multiples((height, width), self.stride, f"the {self.name} encoder")
        return height // self.stride, width // self.stride

    def targets_of(self, frames: Float[Tensor, "b t 3 h w"]) -> tuple[Float[Tensor, "b t n f"], tuple[int, int]]:
        """What the backbone makes of each frame, in float32; no gradient if it is frozen.

        Raises:
            ConfigError: the frames' height or width is no multiple of the stride.
        """
        grid = self.grid_of(frames.shape[-2], frames.shape[-1])
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            tokens = self.look(frames.flatten(0, 1)).float()
        return tokens.unflatten(0, frames.shape[:2]), grid

    def from_targets(
        self, targets: Float[Tensor, "b t n f"], grid: tuple[int, int], frames: Float[Tensor, "b t 3 h w"]
    ) -> Features:
        """Norm, positions, MLP; and colours on squares of a quarter of the stride, or somewhat less."""
        targets = targets.float()
        placed = self.norm(targets)
        if self.positions is not None:
            placed = placed + self.positions(position_grid(*grid, frames.device)).flatten(0, 1)
        cell = max(side for side in range(1, max(2, self.stride // 4 + 1)) if self.stride % side == 0)
        colors = functional.avg_pool2d(frames.flatten(0, 1), cell).unflatten(0, frames.shape[:2])
        return Features(
            tokens=self.head(placed),
            grid=grid,
            colors=colors,
            targets=targets.detach() if self.is_frozen else None,
        )

    def fingerprint(self) -> str:
        """Backbone, settings and the SHA-256 of its weights as they were read."""
        return self._fingerprint

    def train(self: _Encoder, mode: bool = True) -> _Encoder:
        """Leave the backbone in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Refuse what was trained on another frozen backbone.

        Raises:
            CheckpointError: the saved hash is another one.
        """
        saved = state_dict.get(f"{prefix}backbone_hash")
        if self.is_frozen and isinstance(saved, Tensor) and saved.tolist() != self.get_buffer("backbone_hash").tolist():
            raise CheckpointError(
                f"the model was trained on another backbone than the one that its {self.name} encoder finds now "
                f"({self._fingerprint}); put back the weights that it was trained on"
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)
