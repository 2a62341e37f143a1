"""A plan: which variants are compared, on which data, with which seeds and budget. One YAML file holds one `Plan`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from slotkeeper.config import convert_value, read_config_file
from slotkeeper.errors import ConfigError, nearest_name
from slotkeeper.scoring import SCORE_NAMES

IDENTITY_METRICS = ("slot_permanence", "id_switches", "hota", "reacquisition")
"""These come first in every table: they say whether one slot keeps one object."""
DEFAULT_METRICS = (*IDENTITY_METRICS, "video_fg_ari", "video_miou")
LOWER_IS_BETTER = frozenset({"id_switches", "swap_rate"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")
_FROM_PLAN = {
    "seed": "the plan's seeds",
    "training.steps": "the plan's budget",
    "training.evaluate_every": "the plan's curve_points",
}
"""Keys of a config that the plan decides, and by what."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One technique.

    config: a file to start from; None for the base's. set: values by dotted key. about: a sentence for the page.
    """

    name: str
    config: Path | None = None
    set: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What each cell may spend: steps, or minutes of training, from which the steps are measured."""

    steps: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Videos with masks that every cell is scored on.

    path: a folder. scenes: built-in scenes, as `data.scenes` of a config. Without either: the data's held-out videos.
    num_frames: of each video, from its start; None for whole videos.
    """

    name: str
    path: str | None = None
    scenes: Mapping[str, Any] | None = None
    num_frames: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole comparison.

    base: what the variants differ from. set: values for the base and all variants. data: replaces the configs' own
    section. metrics: names of scores, identity first. video: of the first evaluation set, by number or id, that the
    page shows tracked. curve_points: how often scores are made on the way. jobs: cells side by side; None chooses.
    ray: run the cells as Ray tasks.
    """

    name: str
    base: Variant
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    budget: Budget
    set: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    evaluation: tuple[EvaluationSet, ...] = (EvaluationSet(name="held-out"),)
    metrics: tuple[str, ...] = DEFAULT_METRICS
    video: int | str = 0
    curve_points: int = 5
    jobs: int | None = None
    ray: bool = False
    about: str = ""

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """The base first, then the variants in the plan's order."""
        return (self.base, *self.variants)


def read_plan(path: str | Path) -> Plan:
    """Read a plan. Config files are looked for beside it.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, a value has the wrong type or range, a name
            stands twice, or there are no seeds.
    """
    path = Path(path)
    raw = read_config_file(path)
    try:
        return _plan(raw, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _plan(raw: Mapping[str, Any], path: Path) -> Plan:
    _check_keys(raw, Plan, "", ignored=("name",))
    folder = path.parent
    base = _base(raw["base"], folder)
    variants = tuple(
        _variant(entry, folder, f"variants.{number}") for number, entry in enumerate(_list(raw["variants"], "variants"))
    )
    if not variants:
        raise ConfigError("variants must name at least one variant to compare with the base, got an empty list")
    _refuse_twins([base, *variants])
    optional = {name: raw[name] for name in ("video", "curve_points", "jobs", "ray", "about") if name in raw}
    hints = {"video": int | str, "curve_points": int, "jobs": int | None, "ray": bool, "about": str}
    settings = {name: convert_value(hints[name], value, name) for name, value in optional.items()}
    for name, least in (("curve_points", 0), ("jobs", 1)):
        if settings.get(name) is not None and settings[name] < least:
            raise ConfigError(f"{name} must be at least {least}, got {settings[name]}")
    if "evaluation" in raw:
        settings["evaluation"] = _evaluations(raw["evaluation"])
    if "metrics" in raw:
        settings["metrics"] = _metrics(raw["metrics"])
    if raw.get("data") is not None:
        settings["data"] = _mapping(raw["data"], "data")
    return Plan(
        name=path.stem,
        base=base,
        variants=variants,
        seeds=_seeds(raw["seeds"]),
        budget=_budget(raw["budget"]),
        set=_overrides(raw.get("set") or {}, "set"),
        **settings,
    )


def _base(value: Any, folder: Path) -> Variant:
    """The base, given as a config's path or as a variant with one."""
    if isinstance(value, str):
        return Variant(name="base", config=folder / value)
    base = _variant({"name": "base"} | dict(_mapping(value, "base")), folder, "base", is_base=True)
    if base.config is None:
        raise ConfigError("'base.config' is missing: the base is a config file, and what is 'set' in it")
    return base


def _variant(value: Any, folder: Path, key: str, *, is_base: bool = False) -> Variant:
    raw = _mapping(value, key)
    _check_keys(raw, Variant, key)
    name = convert_value(str, raw["name"], f"{key}.name")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{key}.name must be letters, digits and _ . + - (it names a folder), got '{name}'")
    overrides = _overrides(raw.get("set") or {}, f"{key}.set")
    config = raw.get("config")
    if config is None and not overrides and not is_base:
        raise ConfigError(f"variant '{name}' changes nothing of the base: give it 'set' or 'config'")
    return Variant(
        name=name,
        config=None if config is None else folder / convert_value(str, config, f"{key}.config"),
        set=overrides,
        about=convert_value(str, raw.get("about", ""), f"{key}.about"),
    )


def _refuse_twins(variants: Sequence[Variant]) -> None:
    """Names are told apart without case, since some file systems don't see it."""
    seen: set[str] = set()
    for variant in variants:
        if variant.name.casefold() in seen:
            raise ConfigError(f"two variants are named '{variant.name}'; each needs a name of its own")
        seen.add(variant.name.casefold())


def _overrides(value: Any, key: str) -> dict[str, Any]:
    overrides = dict(_mapping(value, key))
    for name in overrides:
        if not all(name.split(".")):
            raise ConfigError(f"{key} takes keys with dots between their parts, got '{name}'")
        if name in _FROM_PLAN:
            raise ConfigError(f"{key}: '{name}' follows from {_FROM_PLAN[name]}; remove it")
    return overrides


def _seeds(value: Any) -> tuple[int, ...]:
    seeds = tuple(convert_value(int, seed, "each of the seeds") for seed in _list(value, "seeds"))
    if not seeds:
        raise ConfigError("seeds must hold at least one whole number, got an empty list")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must differ, got {', '.join(map(str, seeds))}")
    return seeds


def _budget(value: Any) -> Budget:
    raw = _mapping(value, "budget")
    _check_keys(raw, Budget, "budget")
    if len(raw) != 1:
        raise ConfigError("budget takes either 'steps' or 'minutes', for instance {steps: 2000}")
    ((name, number),) = raw.items()
    number = convert_value(int if name == "steps" else float, number, f"budget.{name}")
    if not 0 < number < float("inf"):
        raise ConfigError(f"budget.{name} must be above 0 and finite, got {number:g}")
    return Budget(**{name: number})


def _evaluations(value: Any) -> tuple[EvaluationSet, ...]:
    sets = [_evaluation(entry, f"evaluation.{number}") for number, entry in enumerate(_list(value, "evaluation"))]
    if not sets:
        raise ConfigError("evaluation must name at least one set of videos, got an empty list")
    names = [item.name for item in sets]
    if len(set(names)) < len(names):
        raise ConfigError(f"evaluation sets must each have a name of their own, got {', '.join(names)}")
    return tuple(sets)


def _evaluation(value: Any, key: str) -> EvaluationSet:
    raw = _mapping(value, key)
    _check_keys(raw, EvaluationSet, key)
    num_frames = convert_value(int | None, raw.get("num_frames"), f"{key}.num_frames")
    if num_frames is not None and num_frames < 1:
        raise ConfigError(f"{key}.num_frames must be at least 1, got {num_frames}")
    name = convert_value(str, raw["name"], f"{key}.name")
    if not name[:1].isalnum():  # spreadsheets take "=..." in comparison.csv for a formula
        raise ConfigError(f"{key}.name must begin with a letter or a digit, got '{name}'")
    scenes = raw.get("scenes")
    if scenes is not None and raw.get("path") is not None:
        raise ConfigError(f"{key} takes either 'path' or 'scenes', got both")
    return EvaluationSet(
        name=name,
        path=convert_value(str | None, raw.get("path"), f"{key}.path"),
        scenes=None if scenes is None else dict(_mapping(scenes, f"{key}.scenes")),
        num_frames=num_frames,
    )


def _metrics(value: Any) -> tuple[str, ...]:
    """Identity first, then the others in the plan's order."""
    names = list(dict.fromkeys(convert_value(str, name, "each of the metrics") for name in _list(value, "metrics")))
    for name in names:
        if name not in SCORE_NAMES:
            raise ConfigError(f"there is no metric '{name}'; {nearest_name(name, SCORE_NAMES)}")
    if not names:
        raise ConfigError("metrics must name at least one score, got an empty list")
    return (*[name for name in IDENTITY_METRICS if name in names], *[n for n in names if n not in IDENTITY_METRICS])


def _check_keys(raw: Mapping[str, Any], kind: type, key: str, *, ignored: tuple[str, ...] = ()) -> None:
    """Refuse unknown keys, and name those that are missing."""
    known = {item.name: item for item in fields(kind) if item.name not in ignored}
    prefix = f"{key}." if key else ""
    for name in raw:
        if name not in known:
            raise ConfigError(f"there is no key '{prefix}{name}'; {nearest_name(str(name), known)}")
    for name, item in known.items():
        if item.default is MISSING and item.default_factory is MISSING and raw.get(name) is None:
            raise ConfigError(f"'{prefix}{name}' is missing")


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} must hold keys and values, got {value!r:.60}")
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(f"{key} must be a list, got {value!r:.60}")
    return value
