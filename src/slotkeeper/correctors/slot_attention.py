"""Slot attention (Locatello et al. 2020, arXiv 2006.15055, algorithm 1)."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import MAX_ITERATIONS, Corrector
from slotkeeper.nn.blocks import mlp
from slotkeeper.nn.competition import compete, contest
from slotkeeper.nn.places import coasted, followed, log_density, log_familiarity, remembered
from slotkeeper.nn.positions import round_grid
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, PlacedSlots, Places


class SlotAttention(Corrector):
    """Slots compete for tokens; a GRU, then a residual MLP, update each slot.

    Softmax over slots and the renormalisation over tokens are computed in float32. The GRU's state is the
    un-normalised slot. `epsilon` stands in `a / (sum_n a + epsilon)`: with the usual 1e-8 a slot without evidence still
    reads a full-sized mean of noise; with about 1 (a token's worth of attention) its update fades, so that a hidden
    object's slot keeps its memory.

    Where the initializer places the slots, each is looked for where and as it was last seen. `window`: attention logits
    gain the logarithm of a normal density around the slot's place, whose standard deviation is the slot's spread, kept
    within (narrowest, widest), in half pictures, plus a doubt that grows while the slot sees nothing; None for no
    windows. Slots without a place, such as the background's, have `-handicap` everywhere, so that placed ones win where
    they are and get nothing far away. Places follow what a slot wins, as in invariant slot attention (Biza et al. 2023,
    arXiv 2302.04973), keep their velocity between frames, and coast while there is no evidence. `strictness`: what the
    logits lose per squared distance of a token's colour from the slot's own, so that the slot of a hidden object
    doesn't take a piece of what hides it. Free slots pay no attention. attention_dim: width of queries, keys and
    values; None for the slots' own.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        feature_dim: int,
        num_iterations_first: int = 3,
        num_iterations_next: int = 1,
        hidden_dim: int = 128,
        has_mlp: bool = True,
        epsilon: float = 1e-8,
        window: tuple[float, float] | None = None,
        handicap: float = 2.5,
        strictness: float = 0.0,
        attention_dim: int | None = None,
    ):
        super().__init__()
        attention_dim = slot_dim if attention_dim is None else attention_dim
        if not all(1 <= number <= MAX_ITERATIONS for number in (num_iterations_first, num_iterations_next)):
            raise ConfigError(
                f"corrector.num_iterations_first and num_iterations_next must lie between 1 and {MAX_ITERATIONS}, got "
                f"{num_iterations_first} and {num_iterations_next}"
            )
        if attention_dim < 1:
            raise ConfigError(f"corrector.attention_dim must be at least 1 or null, got {attention_dim}")
        if not epsilon > 0:
            raise ConfigError(f"corrector.epsilon must be positive, got {epsilon}")
        if window is not None and not 0 < window[0] <= window[1]:
            raise ConfigError(f"corrector.window must be two rising positive numbers or null, got {list(window)}")
        if min(handicap, strictness) < 0:
            raise ConfigError(f"corrector.handicap and strictness can't be negative, got {handicap} and {strictness}")
        self.num_iterations_first = num_iterations_first
        self.num_iterations_next = num_iterations_next
        self.epsilon = epsilon
        self.window = window
        self.handicap = handicap
        self.strictness = strictness
        self.scale = attention_dim**-0.5
        self.norm_tokens = nn.LayerNorm(feature_dim)
        self.norm_slots = nn.LayerNorm(slot_dim)
        self.query = nn.Linear(slot_dim, attention_dim, bias=False)
        self.key = nn.Linear(feature_dim, attention_dim, bias=False)
        self.value = nn.Linear(feature_dim, attention_dim, bias=False)
        self.update = nn.GRUCell(attention_dim, slot_dim)
        self.mlp = nn.Sequential(nn.LayerNorm(slot_dim), mlp(slot_dim, hidden_dim, slot_dim)) if has_mlp else None

    def prepare(self, features: Features) -> Features:
        """Normalised tokens, in autocast's precision where there is one, and the mean colour under each."""
        colors = functional.adaptive_avg_pool2d(features.colors.flatten(0, 1).float(), features.grid)
        tokens = self.norm_tokens(features.tokens)
        device = tokens.device.type
        return replace(
            features,
            tokens=tokens.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tokens,
            colors=colors.unflatten(0, features.colors.shape[:2]),
        )

    def forward(
        self, slots: PlacedSlots, frame: Features, *, is_first: bool, noise: VideoNoise | None = None
    ) -> tuple[PlacedSlots, Float[Tensor, "b s n"]]:
        """Iterate; see the class. Nothing is drawn."""
        with torch.autocast(slots.slots.device.type, enabled=False):
            return self._iterated(slots, frame, is_first=is_first)

    def _iterated(
        self, slots: PlacedSlots, frame: Features, *, is_first: bool
    ) -> tuple[PlacedSlots, Float[Tensor, "b s n"]]:
        """In float32, but for the products with tokens: a few slots gain nothing from less."""
        basis = round_grid(*frame.grid, frame.tokens.device)
        colors = frame.colors[:, 0].flatten(2).transpose(1, 2)
        vectors, places = slots.slots.float(), slots.places
        if places is not None and not is_first:
            places = coasted(places)
        expected = places
        familiarity = None if places is None else self.familiarity(places, colors)
        contested = contest(frame.tokens[:, 0])
        # (W_q s) . (W_k x) = s . (W_q^T W_k) x, and the weighted mean of W_v x is W_v times that of x: so no token
        # needs a key or a value, which saves most of the work where tokens outnumber slots.
        probe = self.scale * (self.query.weight.T @ self.key.weight)
        for _ in range(self.num_iterations_first if is_first else self.num_iterations_next):
            expectation = None
            if places is not None and familiarity is not None:
                expectation = self.expect(places, basis, familiarity)
            read, attention = compete(self.norm_slots(vectors) @ probe, contested, expectation, epsilon=self.epsilon)
            vectors = self.update(self.value(read).flatten(0, 1), vectors.flatten(0, 1)).view_as(vectors)
            if self.mlp is not None:
                vectors = vectors + self.mlp(vectors)
            if places is not None:
                places = followed(places, attention.detach(), basis)
        if expected is not None and places is not None:
            places = remembered(expected, places, attention.detach(), colors)
        return PlacedSlots(slots=vectors, places=places), attention

    def familiarity(self, places: Places, colors: Float[Tensor, "b n 3"]) -> Float[Tensor, "b s _"]:
        """What logits lose by strange colours, the same in all iterations on a frame; minus infinity for free slots."""
        loss = (
            log_familiarity(places, colors, self.strictness) if self.strictness else torch.zeros_like(colors[:, :1, :1])
        )
        return loss.masked_fill(places.is_free[..., None], float("-inf"))

    def expect(
        self, places: Places, basis: Float[Tensor, "4 n"], familiarity: Float[Tensor, "b s _"]
    ) -> Float[Tensor, "b s _"]:
        """What logits gain or lose by where and as slots were last seen; one column where all tokens are alike."""
        if self.window is None:
            return familiarity
        return familiarity + log_density(places, basis, window=self.window, handicap=self.handicap)
