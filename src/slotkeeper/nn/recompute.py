"""Activation checkpointing: work that doesn't depend on time is done frame by frame, and again in the backward pass.

What lies between a frame and its features, or its slots and its pictures, then never exists for more than one frame (of
all videos of the batch). Values and gradients are those of doing all frames at once, up to the order of sums. Random
numbers of the second time are those of the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from slotkeeper.interfaces import BackboneEncoder, Decoder, Encoder, Loss
from slotkeeper.types import Clip, Decoded, EncoderState, Features, SlotTrajectory, VideoOutput

_Made = TypeVar("_Made")
_Value = TypeVar("_Value", Clip, Features, Decoded, SlotTrajectory)


def recomputed(make: Callable[..., _Made], *inputs: Any) -> _Made:
    """What `make` makes, without keeping what its gradient needs: `make` is called again for that."""
    made: _Made = checkpoint(make, *inputs, use_reentrant=False)
    return made


def encode_by_frame(
    encoder: Encoder, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None
) -> tuple[Features, EncoderState | None]:
    """As the encoder does it; a frozen backbone has no gradient, so it runs once."""
    parts = []
    for frame in frames.split(1, dim=1):
        if isinstance(encoder, BackboneEncoder) and encoder.is_frozen:
            features = recomputed(encoder.from_targets, *encoder.targets_of(frame), frame)
        else:
            features, state = recomputed(encoder, frame, state)
        parts.append(features)
    return _joined(parts), state


def decode_by_frame(decoder: Decoder, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
    """As the decoder does it."""
    moments = zip(_split(replace(trajectory, guesses=None)), _split(features), strict=True)
    parts: list[Decoded] = [recomputed(decoder, slots, seen, size) for slots, seen in moments]
    return _joined(parts)


def judge_by_frame(loss: Loss, clip: Clip, output: VideoOutput, progress: float) -> Float[Tensor, ""]:
    """As a loss with `is_per_frame` does it."""

    def judge(moment: Clip, features: Features, slots: SlotTrajectory, decoded: Decoded) -> Tensor:
        seen = VideoOutput(features=features, trajectory=slots, decoded=decoded)
        value: Tensor = loss(moment, seen, progress=progress)
        return value

    moments = zip(
        _split(clip),
        _split(output.features),
        _split(replace(output.trajectory, guesses=None)),
        _split(output.decoded),
        strict=True,
    )
    return torch.stack([recomputed(judge, *moment) for moment in moments]).mean()


def _split(value: _Value) -> list[_Value]:
    """One value for each frame; the gradient of all is joined at once, unlike that of slices."""
    tensors = {name: part.split(1, dim=1) for name, part in _tensors(value).items()}
    (count,) = {len(parts) for parts in tensors.values()}
    return [_with(value, {name: parts[index] for name, parts in tensors.items()}) for index in range(count)]


def _joined(parts: list[_Value]) -> _Value:
    """One value for all frames."""
    names = _tensors(parts[0])
    return _with(parts[0], {name: torch.cat([getattr(part, name) for part in parts], dim=1) for name in names})


def _tensors(value: _Value) -> dict[str, Tensor]:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: part for name, part in fields.items() if isinstance(part, Tensor)}


def _with(value: _Value, tensors: dict[str, Tensor]) -> _Value:
    changes: dict[str, Any] = dict(tensors)
    return replace(value, **changes)
