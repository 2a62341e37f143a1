"""Slots of clips that a model has seen before, where its weights don't change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

MOST_BYTES = 2**30
"""Of slots that are kept; what comes later is made anew each time."""


class KeptSlots:
    """Remembers the slots of each clip by the values of its frames, in memory, so that none is made twice."""

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most_bytes = most_bytes
        self._num_bytes = 0
        self._slots: dict[bytes, Float[Tensor, "t s d"]] = {}

    def of(
        self,
        frames: Float[Tensor, "b t 3 h w"],
        make: Callable[[list[int]], Float[Tensor, "n t s d"]],
    ) -> Float[Tensor, "b t s d"]:
        """The slots of a batch. make: from the places of clips in it to their slots, each clip alone; for new ones."""
        keys = [_key(clip) for clip in frames]
        new = [index for index, key in enumerate(keys) if key not in self._slots]
        made = dict(zip((keys[index] for index in new), make(new), strict=True)) if new else {}
        slots = torch.stack([made[key] if key in made else self._slots[key].to(frames.device) for key in keys])
        for key, value in made.items():
            size = value.numel() * value.element_size()
            if self._num_bytes + size <= self._most_bytes:
                self._slots[key] = value.clone()
                self._num_bytes += size
        return slots


def _key(clip: Float[Tensor, "t 3 h w"]) -> bytes:
    return hashlib.blake2b(clip.contiguous().cpu().view(torch.uint8).numpy().tobytes(), digest_size=16).digest()
