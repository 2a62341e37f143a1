"""Prediction of the next frame's masks or slot pictures from this frame's, slot by slot."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, VideoOutput


class FuturePrediction(Loss):
    """A convolutional auto-encoder guesses what each slot shows at t + 1 from what it shows at t, each slot alone.

    of: "masks", where the guesses of a frame's slots go through a softmax over slots; or "pictures", each slot's
    picture times its mask, so black where the slot has no say.
    mask_error: "cross_entropy", the real masks times the negative log of the guessed ones; or "squared". Both are
    summed over slots. Behind a softmax squared errors lose their gradient once the guess is surely "all background",
    and small objects are never learnt. Pictures have squared errors, summed over slots, averaged over colours.
    is_target_detached: whether the frame t + 1 is a fixed target; otherwise gradients flow into it too, and the model
    can please the loss by showing what is easily guessed. Into the frame t they flow always. `width` is that of the
    auto-encoder's first layer; its weights are the loss's own.
    """

    min_frames = 2

    def __init__(
        self,
        *,
        of: Literal["masks", "pictures"] = "masks",
        mask_error: Literal["cross_entropy", "squared"] = "cross_entropy",
        is_target_detached: bool = True,
        width: int = 16,
    ):
        super().__init__()
        if width < 1:
            raise ConfigError(f"width of loss 'future_prediction' must be at least 1, got {width}")
        if of == "pictures":
            self.target, self.reads_pictures = "frames", True
        self.of, self.mask_error, self.is_target_detached = of, mask_error, is_target_detached
        network = ConvAutoEncoder(1 if of == "masks" else 3, width)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, frames t and pixels; squared errors of masks lie in [0, 2], cross-entropies are nats."""
        shown = output.decoded.masks[:, :, :, None]
        if self.of == "pictures":
            shown = shown * output.decoded.drawn
        now, target = shown[:, :-1], shown[:, 1:]
        if self.is_target_detached:
            target = target.detach()
        guess: Tensor = rearrange(
            self.network(now.flatten(0, 2)), "(b t s) c h w -> b t s c h w", b=now.shape[0], s=now.shape[2]
        )
        if self.of == "masks" and self.mask_error == "cross_entropy":
            return -(target * guess.log_softmax(dim=2)).sum(dim=2).mean()
        if self.of == "masks":
            guess = guess.softmax(dim=2)
        return (guess - target).square().sum(dim=2).mean()


class ConvAutoEncoder(nn.Module):
    """Three strided convolutions down to an eighth of the size, three with pixel shuffles up again; takes any size."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(before, 4 * after, 3, padding=1) for before, after in pairwise(reversed(widths))
        )

    def forward(self, picture: Float[Tensor, "m c h w"]) -> Float[Tensor, "m c h w"]:
        """Guess a picture of the same size; no activation at the end."""
        height, width = picture.shape[-2:]
        hidden = functional.pad(picture, (0, -width % 8, 0, -height % 8))
        for layer in self.down:
            hidden = functional.gelu(layer(hidden))
        for index, layer in enumerate(self.up):
            hidden = functional.pixel_shuffle(layer(hidden), 2)
            if index < len(self.up) - 1:
                hidden = functional.gelu(hidden)
        return hidden[..., :height, :width]
