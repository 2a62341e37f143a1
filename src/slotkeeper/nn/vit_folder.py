"""Folders of vision transformers, as the library `transformers` writes them: config.json and safetensors.

Nothing else in a folder is read: no pickle, no code, no adapter. A folder on disk is read without any network.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slotkeeper.errors import CheckpointError, ConfigError, first_line

_CONFIG, _WEIGHTS, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_WANTED = (
    f"the folder of a DINO, DINOv2, DINOv3 or MAE model with {_CONFIG} and {_WEIGHTS}, or the name of one on the "
    "Hugging Face hub, such as facebook/dinov2-small"
)
_UNREAD = re.compile(r"(^|\.)(decoder|pooler|classifier|head)\.")
_LAYER = re.compile(r"(^|\.)layers?\.(\d+)\.")


def find_vit_folder(weights: str | None) -> Path:
    """The folder that `weights` names; a hub's model is taken from the local cache, or fetched where it isn't there.

    Raises:
        ConfigError: there is neither.
    """
    if weights is None:
        raise ConfigError(f"model.encoder.weights of the vit encoder must name {_WANTED}")
    path = Path(os.path.expanduser(weights))  # noqa: PTH111 (leaves ~nobody as it is)
    if path.is_dir():
        return path
    if path.exists() or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", weights):
        raise ConfigError(f"model.encoder.weights: {weights} is no folder; expected {_WANTED}")
    return _fetch(weights)


def _fetch(name: str) -> Path:
    hub = import_library("huggingface_hub")
    settings: dict[str, Any] = {"allow_patterns": [_CONFIG, _WEIGHTS, _INDEX, "model-*.safetensors"]}
    try:
        return Path(hub.snapshot_download(name, local_files_only=True, **settings))
    except (OSError, ValueError):  # not complete in the cache
        pass
    try:
        return Path(hub.snapshot_download(name, **settings))
    except Exception as error:  # whatever the hub, the network and their libraries raise
        raise ConfigError(
            f"model.encoder.weights: there is no folder {name}, and the Hugging Face hub gives no model of that name "
            f"({first_line(error)}); download it elsewhere and give the folder with {_CONFIG} and {_WEIGHTS}"
        ) from error


def import_library(name: str) -> Any:
    """A module of the extra `backbones`.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"the vit encoder needs the package transformers: pip install 'slotkeeper[backbones]' ({error})"
        ) from error


def read_vit_config(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / _CONFIG} can't be read ({first_line(error)}); expected {_WANTED}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{folder / _CONFIG} is damaged: expected an object, got {type(config).__name__}")
    return config


def read_vit_tensors(folder: Path, num_layers: int) -> dict[str, Tensor]:
    """The weights up to layer `num_layers`, under the names that they have in the files; what lies above isn't read.

    Raises:
        CheckpointError: a file is missing, damaged, or no safetensors file.
    """
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    if _is_needed(name, num_layers):
                        tensors[name] = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is truncated or not a safetensors file: {first_line(error)}") from error
    return tensors


def vit_sha256(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """64 hexadecimal digits from the settings that shape the network and from its weights as they were read."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _weight_files(folder: Path) -> Iterable[Path]:
    """One file, or those that an index names; none outside of the folder."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if not index.is_file():
        pickles = " (a pickle is not read, as it could run any code)" if list(folder.glob("*.bin")) else ""
        raise CheckpointError(f"{folder} has no {_WEIGHTS}{pickles}; expected {_WANTED}")
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is damaged: {first_line(error)}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} is damaged: it names the file {name!r:.80}")
    return [folder / name for name in sorted(names)]


def _is_needed(name: str, num_layers: int) -> bool:
    layer = _LAYER.search(name)
    return not _UNREAD.search(name) and (layer is None or int(layer[2]) < num_layers)
