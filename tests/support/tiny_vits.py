"""Folders of tiny vision transformers with seeded random weights, in the format of the real ones."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

KINDS = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit_mae")
PATCH, WIDTH, NUM_LAYERS = 8, 16, 3
_NAMES = {
    "vit": ("ViTConfig", "ViTModel"),
    "dinov2": ("Dinov2Config", "Dinov2Model"),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
    "dinov3_vit": ("DINOv3ViTConfig", "DINOv3ViTModel"),
    "vit_mae": ("ViTMAEConfig", "ViTMAEForPreTraining"),
}


@functools.cache
def tiny_vit(kind: str = "dinov2") -> Path:
    """A folder that is there until the process ends; nobody may change it."""
    folder = Path(tempfile.mkdtemp(prefix=f"tiny-{kind}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_tiny(tiny_model(kind), folder)
    return folder


def tiny_model(kind: str) -> Any:
    """The library's own model, in evaluation mode."""
    import transformers

    config_name, model_name = _NAMES[kind]
    settings: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": 2,
        "image_size": 4 * PATCH,
        "patch_size": PATCH,
        "initializer_range": 0.2,
    }
    settings |= {"mlp_ratio": 2} if "dinov2" in kind else {"intermediate_size": 2 * WIDTH}
    if kind == "dinov3_vit":
        settings["num_register_tokens"] = 4
    if kind == "vit_mae":
        sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        settings |= {f"decoder_{name}": value for name, value in sizes.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, model_name)(getattr(transformers, config_name)(**settings)).eval()


def save_tiny(model: Any, folder: Path) -> None:
    """As `save_pretrained` does it, without its bar."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()
