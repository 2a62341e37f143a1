"""Values of JSON that anybody may have written, each checked before it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from slotkeeper.errors import DataError


def value_of(raw: Any, name: str, key: str) -> Any:
    """What stands under a name. key: where, in errors; so for all of these.

    Raises:
        DataError: it is missing, or `raw` holds no names.
    """
    if not isinstance(raw, Mapping):
        raise DataError(f"{key} must hold keys and values, got {shortened(raw)}")
    if name not in raw:
        raise DataError(f"{key} has no '{name}'")
    return raw[name]


def text_of(raw: Any, name: str, key: str, pattern: re.Pattern[str] | None) -> str:
    """A text, all of which must match the pattern.

    Raises:
        DataError: it is missing or something else.
    """
    value = value_of(raw, name, key)
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        expected = f"a text like {pattern.pattern}" if pattern is not None else "a text"
        raise DataError(f"{key}.{name} must be {expected}, got {shortened(value)}")
    return value


def count_of(raw: Any, name: str, key: str, *, least: int = 0) -> int:
    """A whole number below 2**63.

    Raises:
        DataError: it is missing or something else.
    """
    value = value_of(raw, name, key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise DataError(f"{key}.{name} must be a whole number from {least} on, got {shortened(value)}")
    return value


def list_of(raw: Any, name: str, key: str, *, least: int = 1) -> list[Any]:
    """A list; an empty one only where `least` is 0.

    Raises:
        DataError: it is missing or something else.
    """
    value = value_of(raw, name, key)
    if not isinstance(value, list) or len(value) < least:
        raise DataError(f"{key}.{name} must be a list{' that is not empty' if least else ''}, got {shortened(value)}")
    return value


def shortened(value: Any) -> str:
    """A value for an error, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
