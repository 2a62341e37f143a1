"""Which processor to use, and in which precision it is fast, both found by looking, not by name."""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slotkeeper.errors import ConfigError

Precision = Literal["fp32", "bf16"]
_WORTHWHILE = 1.2
"""bf16 must be this many times faster in the probe: rounding costs accuracy, and real models gain less."""
_NUM_PROBES = 6


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant; "auto" takes a GPU where there is one.

    Raises:
        ConfigError: a GPU was asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ConfigError("device 'cuda' was asked for, but there is no usable CUDA GPU here; use 'auto' or 'cpu'")
    return torch.device("cuda" if wanted != "cpu" and has_gpu else "cpu")


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """The precision meant; "auto" takes bf16 where a short measurement finds it faster.

    On a large GPU it often isn't: models of this size wait for their many small kernels to be started, and autocast
    starts more of them.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32"
    return "bf16" if measure_bf16_gain(device) >= _WORTHWHILE else "fp32"


def measure_bf16_gain(device: torch.device) -> float:
    """How many times faster bf16 autocast is on this device, in a small convolution and matrix product.

    Takes about 0.3 s. The two alternate and the fastest of each counts, so busy neighbours matter little.
    """
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    pictures = drawn(8, 64, 32, 32).to(memory_format=torch.channels_last)
    kernel, matrix = drawn(64, 64, 3, 3).requires_grad_(), drawn(256, 256).requires_grad_()
    tokens = drawn(2048, 256)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_NUM_PROBES):
        for is_bf16, runs in seconds.items():
            runs.append(_probe_seconds(pictures, kernel, tokens, matrix, is_bf16=is_bf16))
    return min(seconds[False]) / min(seconds[True])


def _probe_seconds(pictures: Tensor, kernel: Tensor, tokens: Tensor, matrix: Tensor, *, is_bf16: bool) -> float:
    """One forward and backward pass."""
    start = time.perf_counter()
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=is_bf16):
        drawn = functional.conv2d(pictures, kernel, padding=1)
        mixed = tokens @ matrix
    torch.autograd.grad(drawn.sum() + mixed.sum(), (kernel, matrix))
    if pictures.device.type == "cuda":
        torch.cuda.synchronize(pictures.device)
    return time.perf_counter() - start
