"""Losses that misbehave on purpose, for configs to name by import path."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

from torch import Tensor

from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, VideoOutput


def _plain(clip: Clip, output: VideoOutput) -> Tensor:
    return (output.decoded.reconstruction - clip.frames).square().mean()


class NotFinite(Loss):
    """Becomes NaN after half of the training."""

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Tensor:
        return _plain(clip, output) * (float("nan") if progress >= 0.5 else 1.0)


class Interrupting(Loss):
    """Presses Ctrl-C, or sends signal `number`, once, after half of the training; `is_armed`: whether it still will."""

    is_armed: ClassVar[bool] = True
    number: ClassVar[int] = signal.SIGINT

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Tensor:
        if progress >= 0.5 and Interrupting.is_armed:
            Interrupting.is_armed = False
            os.kill(os.getpid(), Interrupting.number)
        return _plain(clip, output)


class Progress(Loss):
    """Remembers what it was told."""

    told: ClassVar[list[float]] = []

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Tensor:
        Progress.told.append(progress)
        return _plain(clip, output)


class Killing(Loss):
    """Ends its process as the system does when memory runs out, after half of the training."""

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Tensor:
        if progress >= 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
        return _plain(clip, output)


class Failing(Loss):
    """Has a bug that shows after half of the training."""

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Tensor:
        if progress >= 0.5:
            raise IndexError("a bug of the loss's author")
        return _plain(clip, output)
