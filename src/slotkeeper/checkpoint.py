"""Weights and training state on disk: safetensors and JSON, never a pickle.

A model folder holds `model.safetensors` and `model.json` (format version, config, package versions). A checkpoint is
a model folder that also holds `training.safetensors` and `training.json`. Folders are written under another name and
renamed, so one that can be seen is whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from slotkeeper.config import Config, parse_config, plain_config
from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.files import atomic_folder, is_pickle, remove_folder

FORMAT_VERSION = 1
_FORMAT = "slotkeeper model"
_WEIGHTS, _FACTS = "model.safetensors", "model.json"
_STATE_TENSORS, _STATE_VALUES = "training.safetensors", "training.json"
_PACKAGES = ("slotkeeper", "torch", "numpy", "lightning-fabric", "safetensors", "av", "mujoco-core")
_SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What a resumed training needs beside the averaged weights: tensors by name, and plain values."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def whole_number(self, key: str, *, most: int) -> int:
        """A value from 0 to `most`.

        Raises:
            ValueError: it is something else. KeyError: it is missing.
        """
        value = self.values[key]
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"'{key}' must be a whole number from 0 to {most}, got {value!r:.40}")
        return value

    def duration(self, key: str) -> float:
        """A value in seconds.

        Raises:
            ValueError: it is negative, not finite or no number. KeyError: it is missing.
        """
        value = self.values[key]
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise ValueError(f"'{key}' must be a number of seconds, got {value!r:.40}")
        return float(value)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def write_model(
    folder: Path, weights: Mapping[str, Tensor], config: Config, state: TrainingState | None = None
) -> None:
    """Write a model folder, and with `state` a checkpoint, so that it is whole or absent.

    Raises:
        OutputError: the folder can't be written, or the disk is full.
    """
    facts = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "config": plain_config(config),
        "packages": package_versions(),
    }
    with atomic_folder(folder) as partial:
        _write_tensors(partial / _WEIGHTS, weights)
        _write_text(partial / _FACTS, json.dumps(facts, indent=2) + "\n")
        if state is not None:
            _write_tensors(partial / _STATE_TENSORS, state.tensors)
            _write_text(partial / _STATE_VALUES, json.dumps(dict(state.values)) + "\n")


def read_model(folder: Path) -> tuple[dict[str, Tensor], Config]:
    """Read a model folder's weights (on the CPU) and config.

    Raises:
        CheckpointError: a file is missing, truncated, a pickle, not ours, or from a newer version.
    """
    facts = _read_json(folder / _FACTS)
    if facts.get("format") != _FORMAT or not isinstance(facts.get("version"), int):
        raise CheckpointError(f"{folder / _FACTS} was not written by slotkeeper")
    if facts["version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format version {facts['version']}, but this slotkeeper reads up to {FORMAT_VERSION}; "
            "install a newer slotkeeper"
        )
    try:
        config = parse_config(facts.get("config"), str(folder / _FACTS))
    except ConfigError as error:
        raise CheckpointError(f"the config of this model doesn't fit this slotkeeper: {error}") from error
    return _read_tensors(folder / _WEIGHTS), config


def read_training_state(folder: Path) -> TrainingState:
    """Read the training state of a checkpoint.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    return TrainingState(tensors=_read_tensors(folder / _STATE_TENSORS), values=_read_json(folder / _STATE_VALUES))


def model_fingerprint(folder: Path) -> str:
    """A hash of a model folder's weights and config, in hex.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    config = json.dumps(_read_json(folder / _FACTS).get("config"), sort_keys=True)
    digest = hashlib.sha256(config.encode())
    try:
        digest.update((folder / _WEIGHTS).read_bytes())
    except OSError as error:
        raise CheckpointError(f"can't read {folder / _WEIGHTS}: {error.strerror or error}") from error
    return digest.hexdigest()


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a module; every key and shape must agree.

    Raises:
        CheckpointError: the sentence names the keys that are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    problems = [
        _listed("misses", sorted(own.keys() - weights.keys())),
        _listed("has unexpected", sorted(weights.keys() - own.keys())),
        _listed(
            "has other shapes for",
            [
                f"{key} ({tuple(weights[key].shape)} for {tuple(own[key].shape)})"
                for key in sorted(own.keys() & weights.keys())
                if weights[key].shape != own[key].shape
            ],
        ),
    ]
    if any(problems):
        raise CheckpointError(f"{source} doesn't fit its model: it {', and '.join(filter(None, problems))}")
    module.load_state_dict(dict(weights))


def find_model(path: str | Path) -> Path:
    """The model folder meant by a run folder, a model folder, or the name of a model that ships with the package.

    Of a run it is the newest checkpoint. Where a folder of yours has a shipped model's name, `./name` is yours.

    Raises:
        CheckpointError: there is none, or the path is a pickle or another kind of file.
    """
    shipped = {folder.name: folder for folder in list_shipped_models()}
    if str(path) in shipped:
        return shipped[str(path)]
    path = Path(path)
    if path.is_file():
        _refuse_pickle(path)
        raise CheckpointError(f"{path} is a file; expected a run folder or a model folder")
    if not path.exists():
        names = " and ".join(shipped) or "none"
        raise CheckpointError(f"there is no run or model folder {path}; the models that ship with slotkeeper: {names}")
    if (path / _FACTS).exists():
        return path
    checkpoints = list_checkpoints(path)
    if not checkpoints:
        raise CheckpointError(f"{path} holds neither {_FACTS} nor a run's checkpoints")
    return checkpoints[-1]


def list_shipped_models() -> list[Path]:
    """Model folders inside the package."""
    return sorted(facts.parent for facts in _SHIPPED.glob(f"*/{_FACTS}"))


def is_shipped(path: str | Path) -> bool:
    """Whether this is the name of a model inside the package."""
    return str(path) in {folder.name for folder in list_shipped_models()}


def list_checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted(folder for folder in folders if (folder / _FACTS).exists())


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def keep_newest(run: Path, count: int) -> None:
    """Remove all but a run's newest checkpoints, and what interrupted writing left behind."""
    for folder in list_checkpoints(run)[:-count]:
        remove_folder(folder)
    for folder in (run / "checkpoints").glob(".partial-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise CheckpointError(f"{path} is missing")
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or not a safetensors file: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: expected an object, got {type(value).__name__}")
    return value


def _refuse_pickle(path: Path) -> None:
    if is_pickle(path):
        raise CheckpointError(f"{path} is a pickle, which could run any code, so it is not read; expected safetensors")


def _listed(what: str, keys: list[str]) -> str:
    """Up to four keys in words, or nothing."""
    if not keys:
        return ""
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return f"{what} {', '.join(keys[:4])}{more}"


def to_tensor(state: bytes) -> Tensor:
    """Bytes as a tensor that safetensors can hold."""
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)
