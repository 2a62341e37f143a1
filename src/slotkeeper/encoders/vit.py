"""A vision transformer that was trained on other pictures, as a backbone."""

from __future__ import annotations

import os
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from slotkeeper.encoders.pretrained import PretrainedEncoder
from slotkeeper.nn.vit import load_vit


class VitEncoder(PretrainedEncoder):
    """DINO, DINOv2, DINOv3 or MAE, then a trained head, as in DINOSAUR and VideoSAUR.

    weights: a folder with config.json and model.safetensors, as the library `transformers` writes it, or a model of the
    Hugging Face hub. layer: its tokens are taken, from 1; None is the last, and later ones are neither read nor run.
    has_norm: take them after the network's last norm; DINOSAUR and VideoSAUR don't. Frames must be multiples of the
    network's patch. The other settings are those of `PretrainedEncoder`.
    """

    name = "vit"

    def __init__(
        self,
        *,
        weights: str | None = None,
        layer: int | None = None,
        has_norm: bool = False,
        feature_dim: int = 64,
        hidden_dim: int | None = None,
        has_positions: bool = False,
        is_frozen: bool = True,
    ):
        backbone = load_vit(weights, layer=layer, has_norm=has_norm)
        norm = ", normalised" if has_norm else ""
        super().__init__(
            backbone=backbone,
            description=f"{backbone.title}, layer {backbone.num_layers}{norm}",
            weights_sha256=backbone.sha256,
            stride=backbone.patch,
            target_dim=backbone.width,
            feature_dim=feature_dim,
            hidden_dim=hidden_dim,
            has_positions=has_positions,
            is_frozen=is_frozen,
        )
        self.label = f"{backbone.title} features ({_short_name(str(weights))})"

    def look(self, pictures: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m n f"]:
        """Run the network."""
        tokens: Tensor = self.backbone(pictures)
        return tokens


def _short_name(weights: str) -> str:
    """A hub's name as it is; of a folder's path the last part."""
    folder = Path(os.path.expanduser(weights))  # noqa: PTH111 (leaves ~nobody as it is)
    return folder.resolve().name if folder.is_dir() else weights
