"""A YAML file and overrides to a `Config`, and back."""

from __future__ import annotations

import dataclasses
import datetime
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse

from slotkeeper.config.schema import ComponentConfig, Config, LossConfig
from slotkeeper.config.yaml_text import check_plain, read_yaml, write_yaml
from slotkeeper.errors import ConfigError, nearest_name

_COMPONENTS = (ComponentConfig, LossConfig)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a run's config; each override is "key.key=value", its value in YAML, list items by their number.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, a value has the wrong type or range.
    """
    raw = read_config_file(path)
    for override in overrides:
        apply_override(raw, override)
    return parse_config(raw, str(path))


def read_config_file(path: str | Path) -> dict[str, Any]:
    """A YAML file of keys and values as plain data.

    Raises:
        ConfigError: the file is missing, or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no config file {path}") from error
    except OSError as error:
        raise ConfigError(f"can't read the config file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"can't read the config file {path}: it is no text in UTF-8") from error
    raw = read_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold keys and values, got {_short(raw)}")
    return raw


def parse_config(raw: object, source: str) -> Config:
    """Plain data to a `Config`; `source` names it in errors.

    Raises:
        ConfigError: a key is unknown or missing, or a value has the wrong type or range.
    """
    check_plain(raw, source)
    try:
        return typing.cast(Config, _convert(Config, _arranged(raw, Config, "")))
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def plain_config(config: Config) -> dict[str, Any]:
    """A config as plain data that YAML and JSON can hold; `parse_config` gives the same config back."""
    return typing.cast(dict[str, Any], _plain(config))


def config_yaml(config: Config) -> str:
    """A config as the text of a YAML file."""
    return write_yaml(plain_config(config))


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Set one value in plain data, "training.steps=100" or "losses.0.weight=2"; missing sections are made.

    Raises:
        ConfigError: no "=", or the key leads through something that isn't a section or an item of a list.
    """
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set takes key=value with dots between keys, got '{override}'")
    place_value(raw, key, read_yaml(text, f"--set {override}"), source="--set ")


def place_value(raw: dict[str, Any], key: str, value: Any, *, source: str) -> None:
    """Set one value in plain data by its dotted key; missing sections are made. `source` precedes the key in errors.

    Raises:
        ConfigError: the key leads through something that isn't a section or an item of a list.
    """
    names = key.split(".")
    place: Any = raw
    for depth, name in enumerate(names[:-1]):
        if isinstance(place, dict) and place.get(name) is None:
            place[name] = {}
        place = place[_item_key(place, name, source + ".".join(names[: depth + 1]))]
    place[_item_key(place, names[-1], source + key)] = value


def convert_value(kind: Any, value: Any, key: str) -> Any:
    """Check and convert one value to an annotated type.

    Raises:
        ConfigError: the value doesn't fit; the sentence names the key.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    if value is None:  # the parser takes it for an option that was not given
        if _takes_none(kind):
            return None
        raise ConfigError(f"{key} must be {_kind_name(kind)}, got {_short(value)}")
    if isinstance(value, bool) and not _takes_bool(kind):
        raise ConfigError(f"{key} must be {_kind_name(kind)}, got {_short(value)}{_quoting_hint(kind, value, key)}")
    try:
        return parser.parse_object({"value": value}).value
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        hint = _quoting_hint(kind, value, key)
        raise ConfigError(f"{key} must be {_kind_name(kind)}, got {_short(value)}{hint}") from error


def _item_key(place: Any, name: str, key: str) -> Any:
    if isinstance(place, dict):
        return name
    if isinstance(place, list) and name.isdigit() and int(name) < len(place):
        return int(name)
    raise ConfigError(f"{key}: '{name}' is neither a key of a section nor the number of a list's item")


def _arranged(raw: Any, kind: type, key: str) -> dict[str, Any]:
    """Check a section's keys; in components the settings beside the name move into `settings`."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{key or 'the config'} must hold keys and values, got {_short(raw)}")
    fields = {item.name: item for item in dataclasses.fields(kind)}
    arranged = dict(raw)
    if kind in _COMPONENTS:
        own = fields.keys() - {"settings"}
        arranged = {name: value for name, value in raw.items() if name in own}
        arranged["settings"] = {name: value for name, value in raw.items() if name not in own}
    for name in arranged:
        if name not in fields:
            raise ConfigError(f"there is no key '{_join(key, name)}'; {nearest_name(str(name), fields)}")
    for name, item in fields.items():
        has_default = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        if name not in arranged and not has_default:
            raise ConfigError(f"'{_join(key, name)}' is missing")
    hints = typing.get_type_hints(kind)
    return {name: _converted(hints[name], value, _join(key, name)) for name, value in arranged.items()}


def _converted(kind: Any, value: Any, key: str) -> Any:
    """One field's value: a section, a list of sections, or plain data."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    section = next((option for option in options if dataclasses.is_dataclass(option)), None)
    if isinstance(section, type):
        if value is None and type(None) in options:
            return None
        return _convert(section, _arranged(value, section, key))
    if typing.get_origin(kind) is list and dataclasses.is_dataclass(item := typing.get_args(kind)[0]):
        if not isinstance(value, list):
            raise ConfigError(f"{key} must be a list, got {_short(value)}")
        assert isinstance(item, type)
        return [_convert(item, _arranged(entry, item, f"{key}.{number}")) for number, entry in enumerate(value)]
    return convert_value(kind, value, key)


def _convert(kind: type, values: dict[str, Any]) -> Any:
    return kind(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, _COMPONENTS):
        own = {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.name != "settings"}
        return own | _plain(value.settings)
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoting_hint(kind: Any, value: Any, key: str) -> str:
    """How to write text that YAML reads as something else, such as a folder's name 2024."""
    takes_text = kind is str or str in typing.get_args(kind)
    if not takes_text or not isinstance(value, bool | int | float | datetime.date):
        return ""
    text = ("yes" if value else "no") if isinstance(value, bool) else value
    return f"""; text that reads as something else needs quotes: "{text}" in YAML, --set {key}='"{text}"' in a shell"""


def _takes_bool(kind: Any) -> bool:
    return kind in (bool, Any) or any(_takes_bool(option) for option in typing.get_args(kind))


def _takes_none(kind: Any) -> bool:
    return kind in (type(None), Any) or type(None) in typing.get_args(kind)


def _kind_name(kind: Any) -> str:
    """A type in words a user knows."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    if kind in names:
        return names[kind]
    options = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"'{option}'" for option in options)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(_kind_name(option) for option in options)
    if typing.get_origin(kind) is tuple:
        words = dict.fromkeys(_kind_name(option) for option in options)
        return f"a list of {len(options)} values" + (f", each {next(iter(words))}" if len(words) == 1 else "")
    if typing.get_origin(kind) is list:
        return f"a list of items, each {_kind_name(options[0])}"
    return re.sub(r"[\w]+\.", "", str(kind))
