"""From a plan's variants to complete configs, each checked before anything trains."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slotkeeper.build import begin_with, build_losses, build_model, check_frame_size, resolved
from slotkeeper.comparison.plan import Plan, Variant
from slotkeeper.config import Config, parse_config, place_value, plain_config, read_config_file, with_steps
from slotkeeper.data import TruthKind
from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.hardware import choose_device
from slotkeeper.model import SlotModel
from slotkeeper.training.needs import clip_needs

_SAME_DATA = ("path", "train", "val", "val_share", "scenes")
"""Keys of `data` that say which videos are learned from and held out; they must agree, or nothing can be paired."""


@dataclass(frozen=True, kw_only=True)
class BuiltVariant:
    """A variant's complete config, for the first seed and with its own number of steps. num_parameters: of the model.

    truth: what its clips need of flow and depth.
    changes: what differs from the base, by dotted key: the base's value and this one's; None where a side has none.
    """

    name: str
    about: str
    config: Config
    num_parameters: int
    truth: tuple[TruthKind, ...]
    changes: Mapping[str, tuple[Any, Any]]


def build_variants(plan: Plan) -> list[BuiltVariant]:
    """The base first, then the variants; each model and loss is built once, so that a wrong setting is named now.

    Raises:
        ConfigError: the sentence names the variant.
        CheckpointError: what a variant's training begins from is missing or doesn't fit; names the variant, too.
    """
    built: list[BuiltVariant] = []
    for variant in plan.all_variants:
        try:
            config, model, truth = _checked(plan, variant)
        except (ConfigError, CheckpointError) as error:
            raise type(error)(f"variant '{variant.name}': {error}") from error
        base = built[0].config if built else config
        _check_same_data(variant.name, config, base)
        built.append(
            BuiltVariant(
                name=variant.name,
                about=variant.about,
                config=config,
                num_parameters=sum(parameter.numel() for parameter in model.parameters()),
                truth=truth,
                changes=_changes(base, config),
            )
        )
    return built


def cell_config(config: Config, *, seed: int, steps: int, curve_points: int) -> Config:
    """The config of one cell: curriculum and warm-up shrink or grow with the steps; scores are made on the way."""
    config = with_steps(config, steps)
    every = -(-steps // curve_points) if curve_points else 0
    return replace(config, seed=seed, training=replace(config.training, evaluate_every=every))


def _checked(plan: Plan, variant: Variant) -> tuple[Config, SlotModel, tuple[TruthKind, ...]]:
    config = _assembled(plan, variant)
    steps = plan.budget.steps or config.training.steps
    for seed in plan.seeds:  # a seed out of range is named too
        config = cell_config(config, seed=seed, steps=steps, curve_points=plan.curve_points)
    config = replace(config, seed=plan.seeds[0])
    choose_device(config.training.device)
    model = build_model(config)
    losses = build_losses(config, model)
    begin_with(model, config)
    check_frame_size(model, config.data.size)
    return resolved(config), model, clip_needs(config, model, losses).truth


def _assembled(plan: Plan, variant: Variant) -> Config:
    """The variant's file or the base's, the plan's data, what is set for all, then what is set for this one."""
    path = variant.config or plan.base.config
    assert path is not None
    raw = read_config_file(path)
    if plan.data is not None:
        raw["data"] = copy.deepcopy(dict(plan.data))
    own = [] if variant.config else [("base.set: ", plan.base.set)]
    for source, overrides in [("set: ", plan.set), *own, (f"set of '{variant.name}': ", variant.set)]:
        for key, value in overrides.items():
            place_value(raw, key, copy.deepcopy(value), source=source)
    return parse_config(raw, _shown(path))


def _shown(path: Path) -> str:
    return str(path.resolve().relative_to(Path.cwd())) if path.resolve().is_relative_to(Path.cwd()) else str(path)


def _check_same_data(name: str, config: Config, base: Config) -> None:
    for key in _SAME_DATA:
        own, other = getattr(config.data, key), getattr(base.data, key)
        if own != other:
            raise ConfigError(
                f"variant '{name}' has other videos than the base, so they can't be compared: data.{key} is {own}, "
                f"not {other}; put one 'data' section into the plan"
            )


def _changes(base: Config, config: Config) -> dict[str, tuple[Any, Any]]:
    own, other = _flat(plain_config(config)), _flat(plain_config(base))
    keys = [key for key in (*other, *(key for key in own if key not in other)) if own.get(key) != other.get(key)]
    return {key: (other.get(key), own.get(key)) for key in keys}


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Leaves by dotted key; losses by their names, so that their order doesn't matter."""
    if isinstance(value, dict):
        parts = {f"{key}.{name}" if key else str(name): item for name, item in value.items()}
    elif isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        parts = {f"{key}.{item['name']}": {k: v for k, v in item.items() if k != "name"} for item in value}
    else:
        return {key: value}
    return {name: leaf for part, item in parts.items() for name, leaf in _flat(item, part).items()}
