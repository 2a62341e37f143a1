"""What the clips of a run must carry beside frames, by its model and its losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import Config
from slotkeeper.data import FeatureSet, TruthKind, check_flow_settings, open_features
from slotkeeper.data.truth import TRUTH_KINDS
from slotkeeper.errors import ConfigError, DataError
from slotkeeper.interfaces import Loss
from slotkeeper.model import SlotModel
from slotkeeper.training.features import frozen_backbone


@dataclass(frozen=True, kw_only=True)
class ClipNeeds:
    """segments: true ones, for models that are given a start. features: those of `data.features`; None for none."""

    segments: bool = False
    truth: tuple[TruthKind, ...] = ()
    features: FeatureSet | None = None


def clip_needs(config: Config, model: SlotModel, losses: Sequence[tuple[str, float, Loss]]) -> ClipNeeds:
    """What this model and these losses need.

    Raises:
        ConfigError: flow doesn't go with other settings, or `data.features` are of another encoder or size.
        DataError: `data.features` can't be read.
    """
    targets = {model.decoder.target, *(loss.target for _, _, loss in losses)}
    truth = tuple(kind for kind in TRUTH_KINDS if kind in targets)
    if "flow" in truth:
        try:
            check_flow_settings(frame_stride=config.data.frame_stride, short_videos=config.data.short_videos)
        except ConfigError as error:
            raise ConfigError(f"data.{error}") from error
    return ClipNeeds(segments=model.initializer.needs_start, truth=truth, features=_features(config, model))


def needs_of(config: Config) -> ClipNeeds:
    """The same for a config alone; model and losses are built for it.

    Raises:
        ConfigError, CheckpointError: as building them, or as `clip_needs`.
        DataError: as `clip_needs`.
    """
    model = build_model(config)
    return clip_needs(config, model, build_losses(config, model))


def _features(config: Config, model: SlotModel) -> FeatureSet | None:
    """The features that were computed before, if they are what this model's backbone would make of these frames."""
    if config.data.features is None:
        return None
    encoder = frozen_backbone(config, model, "data.features")
    found = open_features(config.data.features)
    facts, (height, width) = found.facts, config.data.size
    if facts.size != config.data.size:
        theirs = f"{facts.size[0]}x{facts.size[1]}"
        raise ConfigError(f"data.features: {found} is of frames of {theirs}, but data.size is {height}x{width}")
    if facts.encoder != encoder.fingerprint():
        raise ConfigError(
            f"data.features: {found} is of another backbone ({facts.encoder}) than this model's "
            f"({encoder.fingerprint()}); compute them anew with 'slotkeeper data features'"
        )
    rows, columns = encoder.grid_of(height, width)
    if (facts.num_tokens, facts.width) != (rows * columns, encoder.target_dim):
        expected = f"{rows * columns} tokens of {encoder.target_dim} numbers"
        raise DataError(f"the index of {found} claims {facts.num_tokens} tokens of {facts.width}, expected {expected}")
    return found
