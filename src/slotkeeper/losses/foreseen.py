"""SlotFormer's losses: what was foreseen against what came (Wu et al. 2023, arXiv 2210.05861, section 3.3)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, Foreseen, VideoOutput


class ForeseenSlots(Loss):
    """Mean squared error of foreseen slots against those that saw the frames; no gradient flows into the latter.

    The slots of a clip's first `burn_in` frames are given, those of all its other frames are foreseen.
    """

    reads_foreseen = True

    def __init__(self, *, burn_in: int):
        super().__init__()
        self.min_frames = _frames_needed("foreseen_slots", burn_in)

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, foreseen frames, slots and their values."""
        slots = _foreseen(output).slots
        seen = output.trajectory.corrected[:, -slots.shape[1] :]
        return (slots - seen.detach()).square().mean()


class ForeseenPictures(Loss):
    """Mean squared error between frames as they were foreseen and as they came, per colour value in [0, 1]."""

    target = "frames"
    reads_foreseen = True
    reads_unseen = True

    def __init__(self, *, burn_in: int):
        super().__init__()
        self.min_frames = _frames_needed("foreseen_pictures", burn_in)

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, foreseen frames, colours and pixels."""
        decoded = _foreseen(output).decoded
        assert decoded is not None, "this decoder can't draw a frame that nobody has seen"
        pictures = decoded.reconstruction
        return (pictures - clip.frames[:, -pictures.shape[1] :]).square().mean()


def _frames_needed(name: str, burn_in: int) -> int:
    if burn_in == 0:
        raise ConfigError(f"the loss '{name}' needs dynamics: set model.dynamics, for instance to {{name: slotformer}}")
    return burn_in + 1


def _foreseen(output: VideoOutput) -> Foreseen:
    assert output.foreseen is not None, "only a model with dynamics in training foresees"
    return output.foreseen
