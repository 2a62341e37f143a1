"""Networks that are read and never trained."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def freeze(network: nn.Module) -> None:
    """Make buffers of all parameters: they still move between devices, but are neither trained nor saved.

    So optimizer, average of weights, checkpoints and data-parallel gradients need no rule for them.
    """
    for part in network.modules():
        for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)
        if isinstance(part, nn.BatchNorm2d):
            part.track_running_stats = False  # or loading the model around it would ask for a count of batches
    network.eval()


def weights_sha256(network: nn.Module) -> str:
    """64 hexadecimal digits from names, shapes, types and values of all parameters and buffers, wherever they lie."""
    digest = hashlib.sha256()
    for name, value in sorted([*network.named_parameters(), *network.named_buffers()], key=lambda pair: pair[0]):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
