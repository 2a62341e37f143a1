"""Losses on a backbone's features: rebuilding them, and foreseeing where they will be found again."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.types import Clip, VideoOutput


class FeatureReconstruction(Loss):
    """Mean squared error between decoded features and the backbone's (DINOSAUR, Seitzer et al. 2023, arXiv 2209.14860).

    No gradient flows into the backbone's, which would make them easier to rebuild instead. is_normalized: rebuild them
    with mean 0 and variance 1 over each token's values (as masked autoencoders do with pixels, arXiv 2111.06377,
    section 3); for backbones that don't end with a layer norm, of whose values some are a hundred times larger than
    others. The papers rebuild them as they are.
    """

    is_per_frame = True
    target = "features"

    def __init__(self, *, target_dim: int, is_normalized: bool = False):
        super().__init__()
        _require_targets("feature_reconstruction", target_dim)
        self.is_normalized = is_normalized

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, time, places and values."""
        targets = _targets(output)
        if self.is_normalized:
            targets = functional.layer_norm(targets, targets.shape[-1:])
        rebuilt = rearrange(output.decoded.reconstruction, "b t f h w -> b t (h w) f")
        return (rebuilt - targets).square().mean()


class FeatureSimilarity(Loss):
    """Foresee where in a later frame each place's like will be (VideoSAUR, Zadaianchuk et al. 2023, arXiv 2306.04829).

    Section 3.2: the cosine between a place's feature at t and each place's at t + `num_frames_ahead` (1 in the paper),
    divided by `temperature` (tau), becomes a distribution over the places of the later frame by a softmax; cosines
    below `threshold` (0) have no share in it. The decoder's `similarities` of frame t are the logits of its guess. The
    loss is the cross-entropy of the two: what moves together has like distributions, so slots that hold what moves
    together guess them best. Its least value isn't 0 but the entropy of the true distributions. A place whose cosines
    are all below the threshold has an even distribution.
    """

    target = "features"

    def __init__(
        self,
        *,
        target_dim: int,
        has_similarities: bool,
        temperature: float = 0.075,
        threshold: float = 0.0,
        num_frames_ahead: int = 1,
    ):
        super().__init__()
        _require_targets("feature_similarity", target_dim)
        if not has_similarities:
            raise ConfigError(
                "loss 'feature_similarity' needs a decoder that foresees similarities: set "
                "model.decoder.has_similarities to true"
            )
        if not temperature > 0:
            raise ConfigError(f"temperature of loss 'feature_similarity' must be positive, got {temperature}")
        if not -1 <= threshold <= 1:
            raise ConfigError(f"threshold of loss 'feature_similarity' must be a cosine, -1 to 1, got {threshold}")
        if num_frames_ahead < 1:
            raise ConfigError(
                f"num_frames_ahead of loss 'feature_similarity' must be at least 1, got {num_frames_ahead}"
            )
        self.temperature = temperature
        self.threshold = threshold
        self.num_frames_ahead = num_frames_ahead
        self.min_frames = 1 + num_frames_ahead

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over batch, places, and frames that have a later one."""
        logits = output.decoded.similarities
        assert logits is not None, "this decoder foresees no similarities"
        guesses = logits[:, : -self.num_frames_ahead].log_softmax(dim=-1)
        return -(self.distributions(_targets(output)) * guesses).sum(dim=-1).mean()

    @torch.no_grad()
    def distributions(self, targets: Float[Tensor, "b t n f"]) -> Float[Tensor, "b T n n"]:
        """Of each place of all frames but the last `num_frames_ahead` over the places of the later frame."""
        directions = functional.normalize(targets, dim=-1)
        early, late = directions[:, : -self.num_frames_ahead], directions[:, self.num_frames_ahead :]
        cosines = early @ late.transpose(2, 3)
        is_unlike = cosines < self.threshold
        has_none = is_unlike.all(dim=-1, keepdim=True)
        logits = (cosines / self.temperature).masked_fill(is_unlike, float("-inf"))
        return logits.masked_fill(has_none, 0).softmax(dim=-1)


def _targets(output: VideoOutput) -> Float[Tensor, "b t n f"]:
    targets = output.features.targets
    assert targets is not None, "an encoder with a target_dim gave no targets"
    return targets.detach().float()


def _require_targets(name: str, target_dim: int) -> None:
    if not target_dim:
        raise ConfigError(
            f"loss '{name}' needs an encoder with a pretrained backbone: set model.encoder.name to vit or "
            "cnn_pretrained"
        )
