"""Slots of frames that nobody has looked at: how they go on, and what they show."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from slotkeeper.interfaces import Decoder, Predictor
from slotkeeper.types import Decoded, Features, PastFrames, SlotTrajectory, Target, VideoOutput


def predict_on(predictor: Predictor, past: Float[Tensor, "b p s d"], num_frames: int) -> Float[Tensor, "b k s d"]:
    """A predictor's slots of each next frame, taken as if they had seen it; there are no tokens to read."""
    frames = list(past.unbind(1))
    nothing = past.new_zeros(len(past), 0, 1)
    for _ in range(num_frames):
        frames.append(predictor(frames[-1], nothing, _latest(predictor, frames)))
    return torch.stack(frames[past.shape[1] :], dim=1)


def draw_unseen(decoder: Decoder, slots: Float[Tensor, "b k s d"], size: tuple[int, int]) -> Decoded:
    """What a decoder with `draws_unseen` makes of slots alone, at `size` (height, width)."""
    features, trajectory = _unattended(slots)
    decoded: Decoded = decoder(trajectory, features, size)
    return decoded


def slots_alone(slots: Float[Tensor, "b t s d"], target: Target) -> VideoOutput:
    """An output in which there is nothing but corrected slots."""
    features, trajectory = _unattended(slots)
    nothing = slots.new_zeros(*slots.shape[:3], 0, 0)
    decoded = Decoded(reconstruction=nothing, pictures=None, masks=nothing, target=target)
    return VideoOutput(features=features, trajectory=trajectory, decoded=decoded)


def _latest(predictor: Predictor, frames: list[Tensor]) -> PastFrames | None:
    """What the predictor looks back at."""
    if not predictor.num_past:
        return None
    slots = torch.stack(frames[-predictor.num_past :], dim=1)
    return PastFrames(slots=slots, tokens=slots.new_zeros(*slots.shape[:2], 0, 1))


def _unattended(slots: Float[Tensor, "b t s d"]) -> tuple[Features, SlotTrajectory]:
    """Slots as if of frames without any token."""
    batch, time, num_slots, _ = slots.shape
    blank = slots.new_zeros(batch, time, 3, 1, 1)
    features = Features(tokens=slots.new_zeros(batch, time, 0, 1), grid=(0, 0), colors=blank)
    attention = slots.new_zeros(batch, time, num_slots, 0)
    return features, SlotTrajectory(corrected=slots, predicted=slots, attention=attention)
