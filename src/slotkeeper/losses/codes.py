"""Losses of decoders that foretell codes: how likely the codes are, and that they are worth foretelling."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.dvae import code_painter
from slotkeeper.nn.ramp import risen
from slotkeeper.types import Clip, VideoOutput


class CodeLikelihood(Loss):
    """Negative log-likelihood of a code, given the codes before it and the slots (STEVE, arXiv 2205.14065).

    In nats for each code; chance is the log of the vocabulary's size. The authors sum over the codes of a frame.

    ramp: two shares of the training between which the loss rises from 0 to its full height. Before the first, nothing
    but the codes is learned; slots that are to foretell codes which mean nothing yet learn to be all alike. None, as in
    the authors' code: its full height from the first step on.
    """

    is_per_frame = True
    target = "codes"

    def __init__(self, *, ramp: tuple[float, float] | None = None):
        super().__init__()
        if ramp is not None and not 0 <= ramp[0] < ramp[1] <= 1:
            raise ConfigError(
                f"ramp of loss 'code_likelihood' must be two rising shares within [0, 1] or null, got {list(ramp)}"
            )
        self.ramp = ramp

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and codes."""
        assert output.decoded.reconstruction.numel(), "the decoder left the likelihood out (has_test_likelihood: false)"
        unlikely = -output.decoded.reconstruction.mean()
        return unlikely if self.ramp is None else risen(self.ramp, progress) * unlikely


class DiscreteAutoencoder(Loss):
    """Squared error of pictures painted from softened codes; what codes mean is learned by this alone.

    The decoder's scores, divided by a temperature and through a softmax, are a Gumbel-softmax draw of the codes (Jang
    et al. 2016, arXiv 1611.01144). The temperature falls from the first to the second of `temperatures` by half a
    cosine, up to the share `cooled_at` of the training, and stays there. The picture is what the encoder hands on as
    colours, in [0, 1]. `width` is that of the network that paints; its weights are the loss's own.
    """

    is_per_frame = True
    target = "codes"

    def __init__(
        self,
        *,
        num_codes: int,
        width: int = 64,
        temperatures: tuple[float, float] = (1.0, 0.1),
        cooled_at: float = 0.15,
    ):
        super().__init__()
        if not num_codes:
            raise ConfigError("loss 'dvae' needs a decoder with a vocabulary of codes; did you mean 'autoregressive'?")
        if width < 1:
            raise ConfigError(f"width of loss 'dvae' must be at least 1, got {width}")
        if not 0 < temperatures[1] <= temperatures[0] < float("inf"):
            raise ConfigError(
                f"temperatures of loss 'dvae' must be two falling positive numbers, got {list(temperatures)}"
            )
        if not 0 < cooled_at <= 1:
            raise ConfigError(f"cooled_at of loss 'dvae' must be above 0 and at most 1, got {cooled_at}")
        self.temperatures = temperatures
        self.cooled_at = cooled_at
        self.painter = code_painter(num_codes, width)

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, colours and pixels."""
        scores, pictures = output.decoded.code_scores, output.features.colors.float()
        assert scores is not None, "the decoder found no codes (has_test_likelihood: false)"
        shares = (scores.flatten(0, 1) / self.temperature(progress)).softmax(dim=1)
        painted: Tensor = self.painter(shares)
        return (painted - pictures.flatten(0, 1)).square().mean()

    def temperature(self, progress: float) -> float:
        """Of the softmax, at this share of the training."""
        first, last = self.temperatures
        return last + (first - last) * (1 + math.cos(math.pi * min(1.0, progress / self.cooled_at))) / 2
