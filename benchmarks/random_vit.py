"""A small vision transformer that nobody trained, as a folder for `model.encoder.weights`.

    python -m benchmarks.random_vit FOLDER

With such weights a token still holds the colours of its 4 x 4 pixels, mixed with some of its surroundings. Systems on
features can be tried without a hub on scenes where colours tell things apart; it says nothing about trained backbones.
"""

from __future__ import annotations

import sys

import torch
from transformers import ViTConfig, ViTModel


def main(folder: str) -> None:
    torch.manual_seed(0)
    described = ViTConfig(
        image_size=64,
        patch_size=4,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
    )
    ViTModel(described, add_pooling_layer=False).save_pretrained(folder)
    print(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
