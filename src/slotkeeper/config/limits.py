"""Ranges of settings, and what would only end for want of memory, perhaps that of other programs on the machine."""

from __future__ import annotations

from slotkeeper.errors import ConfigError

LARGEST_SIDE = 2048
"""Of what a model sees; larger ones are a slip of the keyboard, and would take all memory before they fail."""
_MOST_SLOT_PIXELS = 2**23
"""Slots times pixels of a frame: eight slots at 1024 x 1024. In evaluation decoders hold 40 to 110 bytes for each in
every frame, and `broadcast` 540."""
_MOST_STEP_PIXELS = 2**26
"""Pixels that one training step sees; its gradient takes about 900 bytes for each."""
MOST_STEPS = 2**31
MOST_VIDEOS = 10**7


def require_least(key: str, value: int | float, least: int | float) -> None:
    """Refuse values below `least`, and NaN."""
    if not value >= least:
        raise ConfigError(f"{key} must be at least {least:g}, got {value:g}")


def require_most(key: str, value: int | float, most: int | float) -> None:
    """Refuse values above `most`, and NaN."""
    if not value <= most:
        raise ConfigError(f"{key} must be at most {most}, got {value if isinstance(value, int) else f'{value:g}'}")


def require_share(key: str, value: int | float) -> None:
    """Refuse values outside [0, 1], and NaN."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{key} must be between 0 and 1, got {value:g}")


def check_slot_pixels(num_slots: int, size: tuple[int, int]) -> None:
    """Refuse models that decode too much for each frame of `size` (height, width)."""
    height, width = size
    if num_slots * height * width > _MOST_SLOT_PIXELS:
        raise ConfigError(
            f"model.num_slots x data.size must be at most {_MOST_SLOT_PIXELS} slot pixels, "
            f"got {num_slots} x {height} x {width} = {num_slots * height * width}"
        )


def check_step_pixels(clip_length: int, batch_size: int, *, size: tuple[int, int]) -> None:
    """Refuse training steps on too many pixels at once."""
    height, width = size
    if batch_size * clip_length * height * width > _MOST_STEP_PIXELS:
        raise ConfigError(
            f"training.batch_size x training.clip_length x data.size must be at most {_MOST_STEP_PIXELS} pixels, "
            f"got {batch_size} x {clip_length} x {height} x {width} = {batch_size * clip_length * height * width}"
        )
