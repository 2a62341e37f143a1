"""YAML as plain data: duplicate keys, tags and aliases are refused, and 1e-3 is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from slotkeeper.errors import ConfigError

_MAX_CHARACTERS = 200_000
_MAX_TOKENS = 20_000
"""Of a file: the parser needs a second or two for so many. The longest shipped plan has 6,000 and 1,600."""
_MAX_DEPTH = 50
"""Of sections within sections; the parser's time grows with the square of the depth."""

_MAX_ITEMS = 500
"""Of one list or section; checking their types takes a time that grows with the square."""
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that also refuses what hides mistakes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is not text", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=True)


# YAML 1.1 reads 1e-3, which has no point, as text.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str, source: str) -> Any:
    """Parse one document; `source` names it in errors.

    Raises:
        ConfigError: not YAML, too long or too deep, a key that stands twice or is not text, a tag (!), an anchor (&)
            or an alias (*).
    """
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(f"{source} has {len(text)} characters; at most {_MAX_CHARACTERS} are read as YAML")
    try:
        _check_tokens(text, source)
        value = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{where}: {error.problem or error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that Python doesn't have
        raise ConfigError(f"{source} is not YAML: {str(error).splitlines()[0]}") from error
    check_plain(value, source)
    return value


def check_plain(value: Any, source: str, key: str = "", depth: int = 0) -> None:
    """Refuse values that can't be computed with or written down again; `source` names the data in errors.

    Raises:
        ConfigError: a whole number of more than 64 bits, text that is no Unicode, a long list, or too deep a nesting.
    """
    if isinstance(value, list | dict) and len(value) > _MAX_ITEMS:
        raise ConfigError(f"{source}: {key or 'it'} has {len(value)} items; at most {_MAX_ITEMS} are taken")
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{source}: more than {_MAX_DEPTH} sections lie within each other")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{source}: {key or 'it'} is a whole number of more than 64 bits")
    if isinstance(value, str) and not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ConfigError(f"{source}: {key or 'it'} is no text in Unicode, got {ascii(value)[:60]}")
    if isinstance(value, dict):
        for name, item in value.items():
            check_plain(name, source, f"the key {ascii(name)[:60]}", depth + 1)
            check_plain(item, source, f"{key}.{name}" if key else str(name), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            check_plain(item, source, f"{key}.{number}" if key else str(number), depth + 1)


def _check_tokens(text: str, source: str) -> None:
    """Refuse what isn't plain, before anything is made of it."""
    depth = 0
    for number, token in enumerate(yaml.scan(text, Loader=_StrictLoader)):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.TagToken | yaml.AnchorToken | yaml.AliasToken):
            raise ConfigError(f"{source}, line {line}: tags, anchors and aliases (!, &, *) are not allowed")
        if number >= _MAX_TOKENS:
            raise ConfigError(f"{source} is too long: more than {_MAX_TOKENS} keys, values and marks")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{source}, line {line}: more than {_MAX_DEPTH} sections lie within each other")


def write_yaml(value: Any) -> str:
    """Plain data as YAML, in the order given, short lists on one line."""
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=120))
