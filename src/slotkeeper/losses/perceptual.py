"""The same slot should look the same a frame later."""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Loss
from slotkeeper.nn.perceptual import Backbone, load_perceptual_distance
from slotkeeper.types import Clip, VideoOutput


class PerceptualDifference(Loss):
    """LPIPS between each slot's pictures at t and t + 1 (Zhang et al. 2018, arXiv 1801.03924).

    backbone: "alex", "vgg" and "squeeze" with the published linear heads, on a trunk whose weights `trunk_weights`
    names (safetensors with torchvision's names); "efficientnet_lite0" without heads, all channels weighing the same,
    on the weights of an installed package. is_masked: compare pictures times masks, which see the slot's shape and
    place; otherwise bare pictures. num_pairs: of consecutive frames in each clip, evenly spread; None for all of them.
    Gradients flow through the frozen trunk into the pictures of both frames.
    """

    min_frames = 2
    target = "frames"
    reads_pictures = True

    def __init__(
        self,
        *,
        backbone: Backbone = "efficientnet_lite0",
        trunk_weights: str | None = None,
        is_masked: bool = True,
        num_pairs: int | None = None,
    ):
        super().__init__()
        if num_pairs is not None and num_pairs < 1:
            raise ConfigError(f"num_pairs of loss 'perceptual' must be at least 1 or null, got {num_pairs}")
        self.distance = load_perceptual_distance(backbone, trunk_weights)
        self.min_side = self.distance.trunk.min_side
        self.is_masked = is_masked
        self.num_pairs = num_pairs

    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean over batch, pairs of frames and slots."""
        pictures = output.decoded.drawn
        if self.is_masked:
            pictures = pictures * output.decoded.masks[:, :, :, None]
        firsts = spread_indices(pictures.shape[1] - 1, self.num_pairs)
        needed = sorted({*firsts, *(index + 1 for index in firsts)})
        pictures = pictures[:, needed]
        stages = self.distance.embed(rearrange(pictures, "b t s c h w -> (b t s) c h w"))
        stages = [
            rearrange(stage, "(b t s) d h w -> t (b s) d h w", b=len(pictures), t=len(needed)) for stage in stages
        ]
        now = [stage[[needed.index(index) for index in firsts]].flatten(0, 1) for stage in stages]
        later = [stage[[needed.index(index + 1) for index in firsts]].flatten(0, 1) for stage in stages]
        return self.distance.compare(now, later).mean()


def spread_indices(count: int, wanted: int | None) -> list[int]:
    """At most `wanted` of the numbers below `count`, evenly spread around the middle; all where it is None.

    >>> spread_indices(7, 2)
    [1, 5]
    """
    wanted = count if wanted is None else min(wanted, count)
    return [(2 * index + 1) * count // (2 * wanted) for index in range(wanted)]
