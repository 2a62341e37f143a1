"""The loss of neural expectation maximization (Greff et al. 2017, arXiv 1708.03498, "Training Objective")."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, VideoOutput


class NemLoss(Loss):
    """Inside a slot's mask its picture should be the frame, outside it nothing: the paper's two terms.

    With masks gamma and pictures psi: -sum_k (gamma_k log P(x | psi_k) - (1 - gamma_k) KL[P(x) || P(x | psi_k)]), the
    intra-cluster likelihood less the inter-cluster divergence from a prior over pixels. For normal distributions of
    unit variance, as in the authors' code, and without constants, that is gamma (x - psi)² / 2 + `inter_weight`
    (1 - gamma) (`prior` - psi)² / 2, summed over slots and colours; here its mean over pixels instead of the sum.
    prior: the mean of the prior, a colour value in [0, 1]; 0, the authors', is black. With the decoder `nem` this is
    RNN-EM's next-frame loss, over all frames ("all steps" there).
    """

    is_per_frame = True
    target = "frames"
    reads_pictures = True

    def __init__(self, *, inter_weight: float = 1.0, prior: float = 0.0):
        super().__init__()
        if not inter_weight >= 0:
            raise ConfigError(f"inter_weight of loss 'nem' can't be negative, got {inter_weight}")
        self.inter_weight = inter_weight
        self.prior = prior

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time and pixels."""
        gamma, pictures = output.decoded.masks, output.decoded.drawn
        intra = (pictures - clip.frames[:, :, None]).square().sum(dim=3)
        inter = (pictures - self.prior).square().sum(dim=3)
        return 0.5 * (gamma * intra + self.inter_weight * (1 - gamma) * inter).sum(dim=2).mean()
