"""Slots that stay recognisable from frame to frame (SlotContrast, Manasyan et al. 2025, arXiv 2412.14295)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.gathering import gather_videos
from slotkeeper.types import Clip, VideoOutput


class SlotContrast(Loss):
    """Slot-slot contrast over the batch: each slot must find itself in the next frame among everybody's slots.

    Slots: the corrected ones of each frame (what the grouping module returns), not those predicted for it, scaled to
    length 1. Direction: a slot i of video v at frame t is the question, its answer is slot i of video v at t + 1.
    Axis and negatives: the softmax runs over all slots of all videos of the batch at t + 1, the right one included;
    slots of frame t are never negatives. Where processes share a batch, it is the whole one. Logits: cosine /
    `temperature`, 0.1 as in the released code, which adds this loss with weight 0.5 to the reconstruction of DINO
    features. Gradients flow into both frames.

    The released code writes this as a cross-entropy whose class axis is the earlier frame, so there the slots of t + 1
    ask and those of t are the candidates; the paper's formula, which is followed here, asks from the earlier frame.

    The background's slots take part as all others do, as in the paper, where no slot is known to be background. Where
    the model knows (`num_background` first slots), `has_background: false` leaves them out of questions and answers:
    backgrounds of two videos may look alike, and as negatives they are pushed apart all the same. So are spare slots.
    """

    min_frames = 2

    def __init__(self, *, temperature: float = 0.1, has_background: bool = True, num_background: int = 0):
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"temperature of loss 'slot_contrast' must be positive, got {temperature}")
        self.temperature = temperature
        self.num_left_out = 0 if has_background else num_background

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over frames t, videos and slots; chance is the log of videos times slots."""
        slots = functional.normalize(output.trajectory.corrected[:, :, self.num_left_out :], dim=-1)
        everybody, first_video = gather_videos(slots[:, 1:])
        questions = rearrange(slots[:, :-1], "b t s d -> t (b s) d")
        candidates = rearrange(everybody, "b t s d -> t (b s) d")
        logits = questions @ candidates.transpose(1, 2) / self.temperature  # t, question, candidate
        answers = torch.arange(questions.shape[1], device=logits.device) + first_video * slots.shape[2]
        answers = answers.expand(logits.shape[:2])
        return functional.cross_entropy(logits.flatten(0, 1), answers.flatten())
