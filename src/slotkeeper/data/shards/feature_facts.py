"""What all features of one set have in common: what they were computed with, and their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from slotkeeper.data.shards.checked import count_of, shortened, text_of, value_of
from slotkeeper.errors import DataError

FeaturePrecision = Literal["bf16", "fp16"]
DTYPES: dict[FeaturePrecision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class FeatureFacts:
    """encoder: fingerprint of the backbone, its weights included. size: height and width of the frames that it saw.

    num_tokens, width: of each frame's features. precision: in which they are kept.
    """

    encoder: str
    size: tuple[int, int]
    num_tokens: int
    width: int
    precision: FeaturePrecision

    @property
    def dtype(self) -> torch.dtype:
        """The type that they are kept in."""
        return DTYPES[self.precision]

    @property
    def frame_bytes(self) -> int:
        """Of one frame's features."""
        return 2 * self.num_tokens * self.width


def plain_facts(facts: FeatureFacts) -> dict[str, Any]:
    """As JSON values."""
    return {
        "encoder": facts.encoder,
        "height": facts.size[0],
        "width": facts.size[1],
        "num_tokens": facts.num_tokens,
        "token_width": facts.width,
        "precision": facts.precision,
    }


def parse_facts(raw: Any, key: str) -> FeatureFacts:
    """The facts of an index. key: names them in errors.

    Raises:
        DataError: a value is missing or impossible.
    """
    precision = value_of(raw, "precision", key)
    if not isinstance(precision, str) or precision not in DTYPES:
        raise DataError(f"{key}.precision must be {' or '.join(DTYPES)}, got {shortened(precision)}")
    return FeatureFacts(
        encoder=text_of(raw, "encoder", key, None),
        size=(count_of(raw, "height", key, least=1), count_of(raw, "width", key, least=1)),
        num_tokens=count_of(raw, "num_tokens", key, least=1),
        width=count_of(raw, "token_width", key, least=1),
        precision=precision,
    )
