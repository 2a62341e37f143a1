"""The file of one video's features: safetensors with the one tensor `features`, frames x tokens x width.

Its head always takes the same room, so that the features of any frames are found without reading it.
"""

from __future__ import annotations

import json

from slotkeeper.data.shards.feature_facts import FeatureFacts

HEAD_BYTES = 256
_NAMES = {"bf16": "BF16", "fp16": "F16"}


def head_of(facts: FeatureFacts, num_frames: int) -> bytes:
    """The beginning of the file: the length of the JSON that follows, and the JSON, filled up with spaces."""
    described = {
        "features": {
            "dtype": _NAMES[facts.precision],
            "shape": [num_frames, facts.num_tokens, facts.width],
            "data_offsets": [0, num_frames * facts.frame_bytes],
        }
    }
    room = HEAD_BYTES - 8
    return room.to_bytes(8, "little") + json.dumps(described).encode().ljust(room)


def file_bytes(facts: FeatureFacts, num_frames: int) -> int:
    """Length of the whole file."""
    return HEAD_BYTES + num_frames * facts.frame_bytes
