"""What decoders of a backbone's features share: positions on any grid, and the way out."""

from __future__ import annotations

from abc import abstractmethod

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Decoder
from slotkeeper.nn.attended import log_attention, require_attention_weight
from slotkeeper.nn.learned_grid import LearnedGrid, resized_grid
from slotkeeper.types import Decoded, Features, SlotTrajectory


class FeatureDecoder(Decoder):
    """Base: slots to the features that a backbone made of each token's place; masks lie on the grid of tokens.

    grid: rows and columns for which the positions are learned, best those of the training; others are interpolated.
    Slots are mixed by their masks before the last linear layer. Masks sum to 1, so this is what mixing each slot's own
    features would give, but these (slots times tokens times `target_dim` numbers) never exist; there are no pictures.
    has_similarities: a second last layer makes `Decoded.similarities`, a logit for each place of `grid`.
    attention_weight: times the logarithm of the attention that the slot paid to each token, it is added to the masks'
    logits, as in the decoder `layered`: slots that differ in where they look then draw differently from the first step
    on. 0, as in the papers, leaves it out.
    """

    target = "features"
    draws_each = False

    def __init__(
        self,
        *,
        slot_dim: int,
        target_dim: int,
        grid: tuple[int, int],
        hidden_dim: int,
        has_similarities: bool,
        attention_weight: float,
    ):
        super().__init__()
        require_attention_weight(attention_weight)
        if not target_dim:
            raise ConfigError(
                "a decoder of features needs an encoder with a pretrained backbone: set model.encoder.name to vit or "
                "cnn_pretrained"
            )
        self.grid = grid
        self.attention_weight = attention_weight
        self.positions = LearnedGrid(width=slot_dim, grid=grid)
        self.features = nn.Linear(hidden_dim, target_dim)
        self.has_similarities = has_similarities
        self.similarities = nn.Linear(hidden_dim, grid[0] * grid[1]) if has_similarities else None

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Decode on the grid of `features`; nothing else of them is used."""
        batch, (rows, columns) = len(trajectory.corrected), features.grid
        slots, attention = trajectory.corrected.flatten(0, 1), trajectory.attention.flatten(0, 1)
        mixed, masks = self.mix(slots, self.positions(features.grid), attention)
        rebuilt = rearrange(self.features(mixed).float(), "(b t) (h w) f -> b t f h w", b=batch, h=rows, w=columns)
        return Decoded(
            target="features",
            reconstruction=rebuilt,
            pictures=None,
            masks=rearrange(masks, "(b t) s (h w) -> b t s h w", b=batch, h=rows, w=columns),
            similarities=self._likened(mixed, batch, features.grid),
        )

    @abstractmethod
    def mix(
        self, slots: Float[Tensor, "m s d"], positions: Float[Tensor, "n d"], attention: Float[Tensor, "m s n"]
    ) -> tuple[Float[Tensor, "m n g"], Float[Tensor, "m s n"]]:
        """Hidden values of each place, slots mixed; and the masks, in float32, that they were mixed by."""

    def masks_of(self, logits: Float[Tensor, "m s n"], attention: Float[Tensor, "m s n"]) -> Float[Tensor, "m s n"]:
        """Masks in float32: a softmax over slots, of logits and of where the slots looked."""
        logits = logits.float()
        if self.attention_weight:
            logits = logits + self.attention_weight * log_attention(attention)
        return logits.softmax(dim=1)

    def _likened(
        self, mixed: Float[Tensor, "m n g"], batch: int, grid: tuple[int, int]
    ) -> Float[Tensor, "b t n n"] | None:
        if self.similarities is None:
            return None
        logits = rearrange(self.similarities(mixed), "m n (h w) -> m n h w", h=self.grid[0])
        return rearrange(resized_grid(logits, grid).float(), "(b t) n h w -> b t n (h w)", b=batch)


def require_layers(**numbers: int) -> None:
    """Refuse a decoder's settings below 1.

    Raises:
        ConfigError: names the first.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"decoder.{name} must be at least 1, got {number}")
