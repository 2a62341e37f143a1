"""Finds Ray, which is an extra."""

from __future__ import annotations

import importlib
from typing import Any

from slotkeeper.errors import ConfigError


def import_ray(purpose: str, instead: str) -> Any:
    """The module. purpose, instead: begin and end of the sentence that is said without it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the package ray: pip install 'slotkeeper[ray]', or {instead} ({error})"
        ) from error
