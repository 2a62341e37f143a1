"""Where slots looked, as something that decoders can add to the logits of masks."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from slotkeeper.errors import ConfigError

_LEAST_ATTENTION = 1e-4


def log_attention(attention: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Logarithm in float32, bounded below: a place that a slot doesn't look at may still become its own."""
    return attention.float().clamp_min(_LEAST_ATTENTION).log()


def require_attention_weight(weight: float) -> None:
    """Refuse a decoder's `attention_weight` below 0 or not finite.

    Raises:
        ConfigError: it is.
    """
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"decoder.attention_weight must be at least 0 and finite, got {weight}")
