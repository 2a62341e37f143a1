"""First slots from clusters of the first frame's tokens."""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Initializer
from slotkeeper.nn.places import places_at
from slotkeeper.nn.positions import position_grid
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, GivenStart, PlacedSlots, Places

_MOST_ROUNDS = 100
_EVERYWHERE = 0.6
"""In half pictures; tokens all over the picture have a spread of 0.82."""


class ClusterInitializer(Initializer):
    """A slot for each cluster of the first frame's tokens: the mean token, through a norm and a linear layer.

    Slots that begin alike may stay alike for thousands of steps; these are told apart before anything is learned.
    Tokens are compared by what a backbone made of them (by the tokens themselves where there is none): the difference
    from the frame's mean, at unit length, averaged over 3 x 3 tokens, beside the place in the picture times
    `position_weight`. The first centre is the token most like the mean of all, each next one the token farthest from
    those before (Gonzalez 1985), then `num_rounds` rounds of k-means. Nothing is random, and no gradient flows through
    the choice; it flows through the mean of the tokens. Slots are placed where their clusters are, so that a corrector
    with a `window` looks for them there: attention that has learned nothing reads the same everywhere, and without
    windows makes all slots alike again. Clusters that are spread over the picture, such as a plain ground, have no
    place.
    """

    is_resizable = True

    def __init__(
        self, *, num_slots: int, slot_dim: int, feature_dim: int, position_weight: float = 0.5, num_rounds: int = 5
    ):
        super().__init__()
        if not 0 <= position_weight < float("inf"):
            raise ConfigError(f"initializer.position_weight must be at least 0 and finite, got {position_weight}")
        if not 0 <= num_rounds <= _MOST_ROUNDS:
            raise ConfigError(f"initializer.num_rounds must lie between 0 and {_MOST_ROUNDS}, got {num_rounds}")
        self.num_slots = num_slots
        self.position_weight, self.num_rounds = position_weight, num_rounds
        self.norm = nn.LayerNorm(feature_dim)
        self.project = nn.Linear(feature_dim, slot_dim)

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Cluster the frame; a frame of fewer tokens than slots gives some slots the same tokens."""
        tokens = features.tokens[:, 0]
        with torch.no_grad(), torch.autocast(tokens.device.type, enabled=False):
            clusters = self.clusters(self._described(features))
            members = functional.one_hot(clusters, self.num_slots).to(tokens).transpose(1, 2)
            weights = members / members.sum(dim=2, keepdim=True).clamp_min(1)
            places = _places(weights.float(), position_grid(*features.grid, tokens.device).flatten(0, 1))
        return PlacedSlots(slots=self.project(self.norm(weights @ tokens)), places=places)

    def with_num_slots(self, num_slots: int) -> ClusterInitializer:
        """More or fewer clusters; the first centres are the same."""
        other = deepcopy(self)
        other.num_slots = num_slots
        return other

    def clusters(self, described: Float[Tensor, "b n e"]) -> Int[Tensor, "b n"]:
        """The cluster of each token, from 0."""
        centres = _far_apart(described, self.num_slots)
        for _ in range(self.num_rounds):
            members = functional.one_hot(_nearest(described, centres), self.num_slots).to(described).transpose(1, 2)
            counts = members.sum(dim=2, keepdim=True)
            centres = torch.where(counts > 0, members @ described / counts.clamp_min(1), centres)
        return _nearest(described, centres)

    def _described(self, features: Features) -> Float[Tensor, "b n e"]:
        """What tokens are compared by."""
        seen = (features.tokens if features.targets is None else features.targets)[:, 0].float()
        rows, columns = features.grid
        pictures = seen.transpose(1, 2).unflatten(2, (rows, columns))
        smooth = functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
        flat = smooth.flatten(2).transpose(1, 2)
        looks = functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=2)
        places = position_grid(rows, columns, seen.device).flatten(0, 1) * self.position_weight
        return torch.cat((looks, places.expand(len(looks), -1, -1)), dim=2)


def _places(weights: Float[Tensor, "b s n"], positions: Float[Tensor, "n 2"]) -> Places:
    """Mean and root mean square distance from it of the tokens of each cluster."""
    centres = weights @ positions
    squares = weights @ positions.square().sum(dim=1, keepdim=True)
    spreads = (squares[..., 0] - centres.square().sum(dim=2)).clamp_min(0).sqrt()
    return places_at(centres, spreads < _EVERYWHERE, torch.zeros_like(spreads, dtype=torch.bool), spreads)


def _far_apart(described: Float[Tensor, "b n e"], count: int) -> Float[Tensor, "b s e"]:
    """The token most like the mean, then again and again the one farthest from all so far."""
    chosen = _at(described, torch.cdist(described, described.mean(dim=1, keepdim=True))[..., 0].argmin(dim=1))
    centres = [chosen]
    distances = torch.cdist(described, chosen[:, None])[..., 0]
    for _ in range(count - 1):
        chosen = _at(described, distances.argmax(dim=1))
        centres.append(chosen)
        distances = torch.minimum(distances, torch.cdist(described, chosen[:, None])[..., 0])
    return torch.stack(centres, dim=1)


def _at(described: Float[Tensor, "b n e"], index: Int[Tensor, " b"]) -> Float[Tensor, "b e"]:
    return described[torch.arange(len(described), device=index.device), index]


def _nearest(described: Float[Tensor, "b n e"], centres: Float[Tensor, "b s e"]) -> Int[Tensor, "b n"]:
    return torch.cdist(described, centres).argmin(dim=2)
