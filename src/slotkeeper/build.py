"""From a config to objects: the only place that wires widths between components."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slotkeeper.catalog import find_component
from slotkeeper.checkpoint import find_model, load_weights, read_model
from slotkeeper.config import ComponentConfig, Config, LossConfig, convert_value, pairs_of, plain_config
from slotkeeper.errors import ConfigError, nearest_name
from slotkeeper.interfaces import Loss
from slotkeeper.model import SlotModel
from slotkeeper.nn.weight_limit import WeightLimit
from slotkeeper.types import parts_of

_Component = typing.TypeVar("_Component", ComponentConfig, LossConfig)
_WIDTHS = {
    "encoder": (),
    "initializer": ("num_slots", "slot_dim", "feature_dim"),
    "corrector": ("num_slots", "slot_dim", "feature_dim"),
    "predictor": ("num_slots", "slot_dim", "feature_dim"),
    "decoder": ("num_slots", "slot_dim", "feature_dim", "pixel_dim", "target_dim", "num_background", "means_dim"),
    "dynamics": ("num_slots", "slot_dim"),
    "loss": (
        "num_slots",
        "slot_dim",
        "feature_dim",
        "target_dim",
        "num_codes",
        "num_background",
        "has_guess",
        "has_similarities",
        "burn_in",
    ),
}
"""What each family is told about the rest of the model, where its constructor names it."""


_OF_DYNAMICS = "dynamics."
"""How the names of their weights begin."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A trained model in evaluation mode, on the CPU, and the config it was made from."""

    model: SlotModel
    config: Config


def build_model(config: Config) -> SlotModel:
    """Build a model; its weights are drawn from `config.seed` alone, and nobody else's random numbers change.

    Raises:
        ConfigError: a component or one of its settings is unknown, or has the wrong type or range.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        with WeightLimit():
            return _build_model(config)


def build_losses(config: Config, model: SlotModel) -> list[tuple[str, float, Loss]]:
    """Name, weight and loss of each term; weights that losses have of their own are drawn as in `build_model`.

    Raises:
        ConfigError: as `build_model`, or some clips or frames are too small for a loss.
        CheckpointError: a file of weights that a loss needs is missing, damaged or foreign.
    """
    return [(settings.name, settings.weight, _build_loss(settings, config, model)) for settings in config.losses]


@torch.no_grad()
def check_frame_size(model: SlotModel, size: tuple[int, int]) -> None:
    """Run the model once on a black frame of `size` (height, width), so that a size it can't take is known early.

    Raises:
        ConfigError: it can't; the sentence says which size comes nearest.
    """
    is_training = model.training
    try:
        model.eval()(torch.zeros(1, 1, 3, *size))
    except ConfigError as error:
        raise ConfigError(f"data.size: {error}") from error
    finally:
        model.train(is_training)


def begin_with(model: SlotModel, config: Config) -> None:
    """Give a new model the weights that `training.start_from` names; those of dynamics that it doesn't have stay new.

    Raises:
        CheckpointError: there is no such model, it is damaged, or its weights don't fit.
        ConfigError: the dynamics alone are to be trained, and some other part is not the same as there.
    """
    start = config.training.start_from
    if start is None:
        return
    folder = find_model(start)
    weights, theirs = read_model(folder)
    if config.training.trained == "dynamics":
        _require_same_slots(config, theirs, folder)
    dynamics = {name: value for name, value in model.state_dict().items() if name.startswith(_OF_DYNAMICS)}
    known = {name: value for name, value in weights.items() if name in dynamics or not name.startswith(_OF_DYNAMICS)}
    load_weights(model, dynamics | known, folder)


def _require_same_slots(config: Config, theirs: Config, folder: Path) -> None:
    """Weights of a slot model are worth what they are only within the same model."""
    own, other = (plain_config(resolved(each))["model"] for each in (config, theirs))
    for key in ("num_slots", "slot_dim", "recurrence", "encoder", "initializer", "corrector", "predictor", "decoder"):
        if own[key] != other[key]:
            raise ConfigError(
                f"model.{key} must be that of training.start_from, {folder}, where the dynamics alone are trained; "
                f"there it is {other[key]}, here {own[key]}"
            )


def resolved(config: Config) -> Config:
    """The config with every component's defaults written out, so that a run can be repeated when defaults change."""
    families = ("encoder", "initializer", "corrector", "predictor", "decoder")
    components = {family: _with_defaults(family, getattr(config.model, family)) for family in families}
    if config.model.dynamics is not None:
        components["dynamics"] = _with_defaults("dynamics", config.model.dynamics)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **components),
        losses=[_with_defaults("loss", loss) for loss in config.losses],
    )


def load_model(run_or_model: str | Path, *, num_slots: int | None = None) -> LoadedModel:
    """Load the newest weights of a run folder, a model folder, or "default", the model shipped with the package.

    num_slots: another number than it was trained with, where its components allow that; the weights are the same.

    Raises:
        CheckpointError: there is no such model, or it is damaged, foreign or too new.
        ConfigError: it can't have `num_slots`.
    """
    folder = find_model(run_or_model)
    weights, config = read_model(folder)
    model = build_model(config)
    load_weights(model, weights, folder)
    if num_slots is not None and num_slots != config.model.num_slots:
        config = _resize(model, config, num_slots)
    return LoadedModel(model=model.eval(), config=config)


def _resize(model: SlotModel, config: Config, num_slots: int) -> Config:
    """Give a trained model another number of slots; returns the config that says so."""
    settings = config.model
    resized = dataclasses.replace(config, model=dataclasses.replace(settings, num_slots=num_slots))
    families = ("corrector", "predictor", "decoder")
    bound = [family for family in families if "num_slots" in _parameters(type(getattr(model, family)))]
    if not model.initializer.is_resizable:
        bound = ["initializer", *bound]
    if bound:
        name = getattr(settings, bound[0]).name
        raise ConfigError(
            f"this model has {settings.num_slots} slots and can't have {num_slots}: its {bound[0]} '{name}' was "
            "trained for that number"
        )
    model.initializer = model.initializer.with_num_slots(num_slots)
    return resized


def _build_model(config: Config) -> SlotModel:
    settings = config.model
    encoder = _construct("encoder", settings.encoder, {}, "model.encoder")
    widths: dict[str, int] = {
        "num_slots": settings.num_slots,
        "slot_dim": settings.slot_dim,
        "feature_dim": encoder.feature_dim,
        "pixel_dim": encoder.pixel_dim,
        "target_dim": encoder.target_dim,
    }
    initializer = _construct("initializer", settings.initializer, widths, "model.initializer")
    widths["num_background"] = initializer.num_background
    corrector = _construct("corrector", settings.corrector, widths, "model.corrector")
    widths["means_dim"] = corrector.means_dim
    dynamics = settings.dynamics
    if dynamics is not None and settings.recurrence == "frame":
        raise ConfigError(
            "model.dynamics needs model.recurrence 'clip', got 'frame': such slots are new in every frame"
        )
    return SlotModel(
        encoder=encoder,
        initializer=initializer,
        corrector=corrector,
        predictor=_construct("predictor", settings.predictor, widths, "model.predictor"),
        decoder=_construct("decoder", settings.decoder, widths, "model.decoder"),
        bptt=settings.bptt,
        recurrence=settings.recurrence,
        posterior_sigma=settings.posterior_sigma,
        dynamics=None if dynamics is None else _construct("dynamics", dynamics, widths, "model.dynamics"),
    )


def _build_loss(settings: LossConfig, config: Config, model: SlotModel) -> Loss:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        with WeightLimit():
            loss: Loss = _construct("loss", settings, _widths(config, model), f"losses.{settings.name}")
    _check_target(settings.name, loss, model)
    if config.training.trained == "dynamics" and not loss.reads_foreseen:
        raise ConfigError(
            f"the loss '{settings.name}' teaches the dynamics nothing, and training.trained is 'dynamics'; remove it"
        )
    shortest = min(
        (length for _, length in pairs_of(config.training.clip_length) if length != "all"), default=loss.min_frames
    )
    side = min(config.data.size)
    for key, least, given in (("training.clip_length", loss.min_frames, shortest), ("data.size", loss.min_side, side)):
        if given < least:
            raise ConfigError(f"{key} must be at least {least} for the loss '{settings.name}', got {given}")
    return loss


def _check_target(name: str, loss: Loss, model: SlotModel) -> None:
    """Refuse a loss that looks at something else than what the decoder makes."""
    decoder = model.decoder
    if loss.target is not None and loss.target not in parts_of(decoder.target):
        raise ConfigError(f"the loss '{name}' compares {loss.target}, but the decoder rebuilds {decoder.target}")
    if loss.reads_pictures and not decoder.draws_each:
        raise ConfigError(f"the loss '{name}' looks at each slot's own picture, which this decoder doesn't draw")
    if loss.reads_unseen and not decoder.draws_unseen:
        raise ConfigError(
            f"the loss '{name}' looks at pictures of frames that nobody has seen; this decoder needs the frame's own "
            "features or attention to draw it, decoders that don't are broadcast and broadcast_light with "
            "attention_weight 0"
        )


def _widths(config: Config, model: SlotModel) -> dict[str, int]:
    return {
        "num_slots": config.model.num_slots,
        "slot_dim": config.model.slot_dim,
        "feature_dim": model.encoder.feature_dim,
        "target_dim": model.encoder.target_dim,
        "num_codes": model.decoder.num_codes,
        "num_background": model.initializer.num_background,
        "has_guess": model.initializer.has_guess,
        "has_similarities": model.decoder.has_similarities,
        "burn_in": 0 if model.dynamics is None else model.dynamics.burn_in,
    }


def _construct(family: str, component: ComponentConfig | LossConfig, widths: dict[str, int], key: str) -> Any:
    """Make one component from its checked settings and the widths that its constructor names."""
    kind = find_component(family, component.name)
    parameters = _parameters(kind)
    wired = {name: widths[name] for name in _WIDTHS[family] if name in parameters}
    own = [name for name in parameters if name not in wired]
    hints = typing.get_type_hints(kind.__init__)
    settings: dict[str, Any] = {}
    for name, value in component.settings.items():
        if name in wired:
            raise ConfigError(f"{key}.{name} follows from the rest of the model; remove it (it is {wired[name]})")
        if name not in own:
            known = [*own, "weight"] if family == "loss" else own
            raise ConfigError(f"{component.name} has no setting '{key}.{name}'; {_nearest_setting(name, known)}")
        settings[name] = convert_value(hints.get(name, Any), value, f"{key}.{name}")
    for name in own:
        if name not in settings and parameters[name].default is inspect.Parameter.empty:
            raise ConfigError(f"'{key}.{name}' is missing: {component.name} needs it")
    return kind(**settings, **wired)


def _with_defaults(family: str, component: _Component) -> _Component:
    parameters = _parameters(find_component(family, component.name))
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty and name not in _WIDTHS[family]
    }
    return dataclasses.replace(component, settings=defaults | component.settings)


def _parameters(kind: type[Any]) -> dict[str, inspect.Parameter]:
    named = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {name: item for name, item in inspect.signature(kind).parameters.items() if item.kind in named}


def _nearest_setting(name: str, own: list[str]) -> str:
    return nearest_name(name, own) if own else "it has none"
