"""An encoder that a video's colours can kill, hinder or hold up; it leaves a mark each time."""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path

from torch import Tensor

from slotkeeper.encoders.cnn import CnnEncoder
from slotkeeper.types import EncoderState, Features

BRIGHT, DARK = 0.95, 0.05


class FatalEncoder(CnnEncoder):
    """White frames kill the process, black ones raise an error, all others wait for `seconds`.

    marks: a folder that gets a file for each death.
    """

    def __init__(self, *, marks: str, seconds: float = 0.0):
        super().__init__(width=16, feature_dim=16, num_blocks=1, pixel_dim=4)
        self.marks = Path(marks)
        self.seconds = seconds

    def forward(self, frames: Tensor, state: EncoderState | None = None) -> tuple[Features, EncoderState | None]:
        brightness = float(frames.mean())
        if brightness > BRIGHT:
            (self.marks / uuid.uuid4().hex).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if brightness < DARK:
            raise RuntimeError("black is too much")
        time.sleep(self.seconds)
        return super().forward(frames, state)
