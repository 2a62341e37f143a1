"""SmoothSA: first slots preheated with the first frame (Zhao et al. 2025, arXiv 2508.05417)."""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.initializers.gaussian import GaussianInitializer
from slotkeeper.interfaces import Initializer
from slotkeeper.nn.blocks import mlp
from slotkeeper.noise import VideoNoise, given_or_fresh
from slotkeeper.types import Features, GivenStart, PlacedSlots


class PreheatedInitializer(Initializer):
    """Draws around one shared mean, then lets the draws look at the frame, as a guess of what slot attention will find.

    The guess is a small transformer layer's: the draws read the frame's tokens, then one another, then an MLP (pre-norm
    except for the reading; no biases). It learns only from the loss `preheat`, by which it imitates the corrected slots
    of its own model. In training the slots are the guess, without gradient, plus noise of a learned spread; in
    evaluation they are the guess itself. To go with it: `num_iterations_first: 3`, `num_iterations_next: 1`.

    As the authors have it, except: in evaluation the draws are the fixed ones of `gaussian` (theirs stay random), and
    the frame's tokens never carry the guess's gradient (theirs do after the first tenth of the training);
    `is_detached: false` lets them.
    """

    has_guess = True
    is_resizable = True

    def __init__(
        self,
        *,
        num_slots: int,
        slot_dim: int,
        feature_dim: int,
        sigma: float = 1.0,
        noise_seed: int = 0,
        num_heads: int = 4,
        hidden_dim: int = 256,
        is_detached: bool = True,
    ):
        super().__init__()
        if num_heads < 1 or slot_dim % num_heads:
            raise ConfigError(f"initializer.num_heads must divide slot_dim {slot_dim}, got {num_heads}")
        self.num_slots = num_slots
        self.is_detached = is_detached
        self.cold = GaussianInitializer(num_slots=num_slots, slot_dim=slot_dim, sigma=sigma, noise_seed=noise_seed)
        self.project = nn.Linear(feature_dim, slot_dim)
        self.read = nn.MultiheadAttention(slot_dim, num_heads, bias=False, batch_first=True)
        self.norm_exchange = nn.LayerNorm(slot_dim, bias=False)
        self.exchange = nn.MultiheadAttention(slot_dim, num_heads, bias=False, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(slot_dim, bias=False), mlp(slot_dim, hidden_dim, slot_dim, has_bias=False)
        )
        self.log_sigma = nn.Parameter(torch.full((slot_dim,), sigma).log())

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots that know the frame, and the guess they come from."""
        if self.training:
            noise = given_or_fresh(noise, len(features.tokens))
        cold = self.cold(features, noise, frame_index=frame_index).slots
        tokens = features.tokens[:, 0]
        guess = self.guess(cold, tokens.detach() if self.is_detached else tokens)
        if not self.training:
            return PlacedSlots(slots=guess, guess=guess)
        assert noise is not None
        drawn = noise.normal(*guess.shape[1:]).to(guess)
        return PlacedSlots(slots=guess.detach() + self.log_sigma.exp() * drawn, guess=guess)

    def with_num_slots(self, num_slots: int) -> PreheatedInitializer:
        """Further draws, which look at the frame like the others."""
        resized = deepcopy(self)
        resized.num_slots = num_slots
        resized.cold = self.cold.with_num_slots(num_slots)
        return resized

    def guess(self, cold: Float[Tensor, "b s d"], tokens: Float[Tensor, "b n e"]) -> Float[Tensor, "b s d"]:
        """What slots will have become, from draws that know nothing and the frame's tokens."""
        projected = self.project(tokens)
        warm = cold + self.read(cold.to(projected), projected, projected, need_weights=False)[0]
        normed = self.norm_exchange(warm)
        warm = warm + self.exchange(normed, normed, normed, need_weights=False)[0]
        guessed: Tensor = warm + self.mlp(warm)
        return guessed
