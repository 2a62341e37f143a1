"""One training step's mathematics: clips in, weighted losses out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from slotkeeper.checkpoint import load_weights
from slotkeeper.data import start_from_segments
from slotkeeper.interfaces import Loss
from slotkeeper.model import SlotModel
from slotkeeper.nn.recompute import judge_by_frame
from slotkeeper.recurrence import Watch
from slotkeeper.types import Clip, GivenStart, VideoOutput

_Value = TypeVar("_Value")


class TrainingStep(nn.Module):
    """The model and its losses as one module, so that data-parallel wrappers see one call per step.

    The model may run in bf16; losses see its trajectory and its decoded pictures in float32. A loss may have networks
    of its own: they are trained and saved beside the model and are no part of it. recompute: as the model takes it.
    """

    def __init__(self, model: SlotModel, losses: Sequence[tuple[str, float, Loss]], *, recompute: bool = False):
        super().__init__()
        self.model = model
        self.recompute = recompute
        self.losses = nn.ModuleList([loss for _, _, loss in losses])
        self.terms = [(name, weight) for name, weight, _ in losses]

    def forward(
        self,
        seen: dict[str, Tensor],
        generator: torch.Generator,
        progress: float,
        first_segments: Int[Tensor, "b height width"] | None = None,
        watch: Watch | None = None,
    ) -> dict[str, Tensor]:
        """The weighted sum under "loss", and each term's own value under "loss/<name>".

        seen: `Clip.seen`; a dictionary, since the wrappers of data-parallel training and of mixed precision look into
        these, and refuse frozen values. first_segments: true ones of the first frames, for models that are given a
        start; no loss sees them. watch: as the model takes it.
        """
        clip = Clip(
            frames=seen["frames"],
            times=seen["times"],
            flow=seen.get("flow"),
            depth=seen.get("depth"),
            features=seen.get("features"),
        )
        device = clip.frames.device
        output = self.model(
            clip.frames,
            generator,
            given=self._given(first_segments, device),
            features=clip.features,
            watch=watch,
            recompute=self.recompute,
        )
        with torch.autocast(device.type, enabled=False):
            output = replace(
                output,
                trajectory=_in_float32(output.trajectory),
                decoded=_in_float32(output.decoded),
                foreseen=None if output.foreseen is None else _in_float32(output.foreseen),
            )
            values = [self._judged(loss, clip, output, progress) for loss in self.losses]
            total = torch.stack([weight * value for (_, weight), value in zip(self.terms, values, strict=True)]).sum()
        return {"loss": total} | {f"loss/{name}": value for (name, _), value in zip(self.terms, values, strict=True)}

    def _judged(self, loss: nn.Module, clip: Clip, output: VideoOutput, progress: float) -> Tensor:
        assert isinstance(loss, Loss)
        if self.recompute and loss.is_per_frame:
            return judge_by_frame(loss, clip, output, progress)
        value: Tensor = loss(clip, output, progress=progress)
        return value

    def _given(self, first_segments: Int[Tensor, "b height width"] | None, device: torch.device) -> GivenStart | None:
        if first_segments is None:
            return None
        room = self.model.num_slots - self.model.initializer.num_background
        return start_from_segments(first_segments.cpu(), room).to(device)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """What the optimizer moves: the model's parameters by their own names, a loss's as "<loss>/<name>"."""
        parameters = dict(self.model.named_parameters())
        for (term, _), loss in zip(self.terms, self.losses, strict=True):
            parameters |= {f"{term}/{name}": value for name, value in loss.named_parameters()}
        return parameters

    def loss_tensors(self) -> dict[str, Tensor]:
        """The state of the losses, named "<loss>/<name>"."""
        return {
            f"{term}/{name}": value
            for (term, _), loss in zip(self.terms, self.losses, strict=True)
            for name, value in loss.state_dict().items()
        }

    def restore_losses(self, tensors: Mapping[str, Tensor], source: Path) -> None:
        """Put back what `loss_tensors` gave; `source` names it in errors.

        Raises:
            CheckpointError: a key or a shape doesn't agree.
        """
        for (term, _), loss in zip(self.terms, self.losses, strict=True):
            start = f"{term}/"
            own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
            load_weights(loss, own, source)


def _in_float32(value: _Value) -> _Value:
    """A dataclass of tensors, or of such dataclasses, with half-precision tensors widened."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            changes[field.name] = part.float() if part.is_floating_point() else part
        elif dataclasses.is_dataclass(part):
            changes[field.name] = _in_float32(part)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]
