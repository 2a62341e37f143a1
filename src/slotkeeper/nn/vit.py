"""Vision transformers of the library `transformers`, cut after a layer, to tokens of patches.

DINO (Caron et al. 2021, arXiv 2104.14294; as any plain ViT), DINOv2 (Oquab et al. 2023, arXiv 2304.07193) with and
without registers, DINOv3 (Siméoni et al. 2025, arXiv 2508.10104) and MAE (He et al. 2022, arXiv 2111.06377).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.nn.vit_folder import find_vit_folder, import_library, read_vit_config, read_vit_tensors, vit_sha256

_SHIFT, _SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LARGEST = 2**16
"""Of any whole number in a network's description."""
_COUNTS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size")
_SETTINGS = (
    *_COUNTS,
    *("hidden_act", "layer_norm_eps", "qkv_bias", "mlp_ratio", "layerscale_value", "use_swiglu_ffn", "use_mask_token"),
    *("num_register_tokens", "rope_theta", "use_gated_mlp"),
    *("query_bias", "key_bias", "value_bias", "proj_bias", "mlp_bias"),
)
"""What shapes a network. Whatever else a config.json says is left alone: it can't change how a network is run."""


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Names in the library; norm: of the last norm. Has the forward pass to be told to interpolate, or not to mask?"""

    title: str
    kind: str
    norm: str = "layernorm"
    is_told_to_interpolate: bool = False
    is_masked: bool = False


_FAMILIES = {
    "vit": _Family(title="ViT", kind="ViT", is_told_to_interpolate=True),
    "dinov2": _Family(title="DINOv2", kind="Dinov2"),
    "dinov2_with_registers": _Family(title="DINOv2 with registers", kind="Dinov2WithRegisters"),
    "dinov3_vit": _Family(title="DINOv3", kind="DINOv3ViT", norm="norm"),
    "vit_mae": _Family(title="MAE", kind="ViTMAE", is_told_to_interpolate=True, is_masked=True),
}
"""By `model_type` in config.json."""


class VitBackbone(nn.Module):
    """A network and how to run it. title: what it is called. sha256: of its weights and what shapes it.

    Positions are interpolated to the size of the pictures; class and register tokens are left out.
    """

    def __init__(self, network: nn.Module, family: _Family, settings: dict[str, Any], sha256: str):
        super().__init__()
        self.network = network
        self.title, self.sha256 = family.title, sha256
        self.width, self.patch = int(settings["hidden_size"]), int(settings["patch_size"])
        self.num_layers = int(settings["num_hidden_layers"])
        self._family = family
        for name, value in (("shift", _SHIFT), ("scale", _SCALE)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)

    def forward(self, pictures: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m n f"]:
        """Tokens of pictures in [0, 1], whose sides are multiples of the patch, row by row."""
        num_tokens = (pictures.shape[-2] // self.patch) * (pictures.shape[-1] // self.patch)
        told: dict[str, Any] = {"interpolate_pos_encoding": True} if self._family.is_told_to_interpolate else {}
        if self._family.is_masked:  # it sorts its patches by this noise, and keeps all: so it leaves them in order
            told["noise"] = torch.arange(num_tokens, device=pictures.device).float().expand(len(pictures), -1)
        pictures = (pictures - self.get_buffer("shift")) / self.get_buffer("scale")
        tokens: Tensor = self.network(pictures, **told).last_hidden_state
        return tokens[:, -num_tokens:]


def load_vit(weights: str | None, *, layer: int | None, has_norm: bool) -> VitBackbone:
    """Read a network up to `layer` (from 1; None is the last) from a folder or the hub.

    has_norm: end with the network's own last norm, whatever the layer.

    Raises:
        ConfigError: the library or the weights aren't there, or there is no such layer.
        CheckpointError: the folder holds something else, or is damaged.
    """
    folder = find_vit_folder(weights)
    config = read_vit_config(folder)
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _FAMILIES:
        raise CheckpointError(
            f"{folder} holds a model of the type {model_type!r:.40}; expected one of {', '.join(_FAMILIES)}"
        )
    family, settings = _FAMILIES[model_type], _checked(config, folder)
    depth = settings["num_hidden_layers"]
    if layer is not None and not 1 <= layer <= depth:
        raise ConfigError(f"model.encoder.layer must be from 1 to {depth}, the layers of {folder}, got {layer}")
    tensors = read_vit_tensors(folder, depth if layer is None else layer)
    settings["num_hidden_layers"] = depth if layer is None else layer
    network = _make_network(family, settings, tensors, folder)
    if not has_norm:
        setattr(network, family.norm, nn.Identity())
    for name, value in network.named_parameters():
        if name.endswith("mask_token"):  # nothing is masked
            value.requires_grad_(False)
    return VitBackbone(network, family, settings, vit_sha256(settings, tensors))


def _checked(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings that shape a network, with a whole number for each that must be one.

    Raises:
        CheckpointError: one is missing or out of range.
    """
    settings = {name: config[name] for name in _SETTINGS if config.get(name) is not None}
    for name in ("patch_size", "image_size"):
        sides = settings.get(name)
        if isinstance(sides, list) and sides and sides == [sides[0]] * len(sides):
            settings[name] = sides[0]
    if config.get("num_channels", 3) != 3:
        raise CheckpointError(f"{folder} is of a network for pictures with other channels than red, green and blue")
    for name in _COUNTS:
        value = settings.get(name, 1)
        if type(value) is not int or not 1 <= value <= _LARGEST:
            raise CheckpointError(f"{folder / 'config.json'}: {name} must be from 1 to {_LARGEST}, got {value!r:.40}")
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size"):
        if name not in settings:
            raise CheckpointError(f"{folder / 'config.json'} doesn't say {name}")
    return settings


def _make_network(family: _Family, settings: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> nn.Module:
    """The network with its weights in float32.

    Raises:
        CheckpointError: settings or weights don't fit.
    """
    library = import_library("transformers")
    kind = getattr(library, f"{family.kind}Model")
    own = {"add_pooling_layer": False} if family.kind == "ViT" else {}
    unmasked = {"mask_ratio": 0.0} if family.is_masked else {}
    try:
        config = getattr(library, f"{family.kind}Config")(**settings, **unmasked)
        with _quiet(library):
            network, report = kind.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are reported, too
                output_loading_info=True,
                **own,
            )
    except ConfigError:  # too large
        raise
    except Exception as error:  # the library checks settings and shapes, in many ways
        raise CheckpointError(
            f"{folder} doesn't hold a {family.title} as its config.json describes it: {' '.join(str(error).split())}"
        ) from error
    absent = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    absent = {name for name in absent if not name.endswith("mask_token")}
    if absent:
        raise CheckpointError(
            f"{folder} doesn't hold the whole {family.title} that its config.json describes: "
            f"{', '.join(sorted(absent)[:4])} are missing or of another shape"
        )
    network.eval()
    return network  # type: ignore[no-any-return]


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the library's bars and reports; what it says is said by our errors."""
    logging = library.utils.logging
    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()
