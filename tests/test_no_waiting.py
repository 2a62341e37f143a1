"""A training step never waits for its device, nor moves constants to it; seen on PyTorch's device without memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import load_config
from slotkeeper.training.step import TrainingStep

CONFIGS = Path(__file__).parents[1] / "configs"


class Crossings(TorchDispatchMode):
    """Operations that take from the processor's memory to the device's; ones that would wait raise by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if {tensor.device.type for tensor in tensors_in((args, result)) if tensor.dim()} == {"cpu", "meta"}:
            self.seen.append(str(func))
        return result


def tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from tensors_in(part)


@pytest.mark.parametrize("name", ["demo", "default", "techniques/conv_lstm", "techniques/mask_entropy"])
def test_nothing_crosses_to_the_device(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # PyTorch has none on this device
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    config = load_config(CONFIGS / f"{name}.yaml")
    model = build_model(config)
    trained = TrainingStep(model, build_losses(config, model)).train().to("meta")
    frames = torch.empty(2, 3, 3, *config.data.size, device="meta")
    seen = {"frames": frames, "times": torch.empty(2, 3, device="meta")}
    generator = torch.Generator().manual_seed(0)
    trained(seen, generator, 0.5)  # what is made once for each size
    with Crossings() as crossings:
        trained(seen, generator, 0.5)["loss"].backward()
    assert crossings.seen == []
    with Crossings() as crossings:
        torch.zeros(3).to("meta")
    assert crossings.seen, "the test can see a crossing"
    with pytest.raises(RuntimeError):
        bool(frames.any())
