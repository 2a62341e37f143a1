"""What a model's frozen backbone makes of videos, computed once for all trainings with that backbone."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float32
from torch import Tensor

from slotkeeper.config import Config
from slotkeeper.data import make_features
from slotkeeper.data.features import DEFAULT_SHARD_MB, FeatureFacts, FeaturePrecision, MadeFeatures
from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import BackboneEncoder
from slotkeeper.model import SlotModel


def frozen_backbone(config: Config, model: SlotModel, wanted_by: str) -> BackboneEncoder:
    """The model's encoder, if its backbone isn't trained. wanted_by: what needs it so, for the error.

    Raises:
        ConfigError: it has no backbone, or trains it.
    """
    encoder, name = model.encoder, config.model.encoder.name
    if not isinstance(encoder, BackboneEncoder):
        raise ConfigError(f"{wanted_by} needs an encoder with a frozen backbone, but '{name}' has none")
    if not encoder.is_frozen:
        raise ConfigError(f"{wanted_by} needs an encoder with a frozen backbone, but '{name}' is to train its own")
    return encoder


def compute_features(
    model: SlotModel,
    config: Config,
    data: str | Path,
    out: str | Path,
    *,
    precision: FeaturePrecision = "bf16",
    shard_mb: int = DEFAULT_SHARD_MB,
    device: torch.device | None = None,
    show_progress: bool = True,
) -> MadeFeatures:
    """Write what the model's backbone makes of all frames of some videos, at `config.data.size`, into `out`.

    data, out, shard_mb, show_progress: as `make_features` takes them. precision: in which numbers are kept; they are
    computed in float32. device: where; None is the CPU.

    Raises:
        ConfigError: the model has no frozen backbone, or a number doesn't fit the precision.
        DataError, OutputError: as `make_features`.
    """
    device = device or torch.device("cpu")
    encoder = frozen_backbone(config, model, "'slotkeeper data features'").eval().to(device)
    height, width = config.data.size
    rows, columns = encoder.grid_of(height, width)

    @torch.inference_mode()
    def compute(frames: Float32[Tensor, "t 3 h w"]) -> Float32[Tensor, "t n e"]:
        targets, _ = encoder.targets_of(frames[None].to(device))
        return targets[0].float().cpu()

    facts = FeatureFacts(
        encoder=encoder.fingerprint(),
        size=(height, width),
        num_tokens=rows * columns,
        width=encoder.target_dim,
        precision=precision,
    )
    return make_features(data, out, facts=facts, compute=compute, shard_mb=shard_mb, show_progress=show_progress)
