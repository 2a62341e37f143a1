"""When a slot holds an object: all thresholds of tracking in one value."""

from __future__ import annotations

from dataclasses import dataclass, fields

from slotkeeper.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrackingRules:
    """Thresholds of birth, absence and return. Areas and border lengths are shares of the picture, in [0, 1].

    Two values for one thing (birth and keep, background and release) are a hysteresis: an object that hovers around
    one threshold doesn't flicker.

    Args:
        birth_area: least area at which an empty slot begins to show an object.
        keep_area: least area at which an object that is shown goes on being shown.
        birth_confidence: least confidence at which an empty slot begins to show an object.
        keep_confidence: least confidence at which an object goes on being shown.
        birth_frames: frames in a row after which an object is believed; it is then reported from the first of them
            on, so frames are given out with a delay of `birth_frames - 1`. A video that ends sooner than that after
            its own start counts as if it went on.
        return_similarity: least cosine between a slot's vector when it was last seen and when it shows again for
            the object to be the same one; below it the slot holds a new object under a new id.
        max_hidden_frames: longest absence after which an object comes back under its id.
        background_border: share of the picture's border that a slot must cover to be background.
        background_area: share of the picture that a slot must cover to be background, whatever its border.
        background_release: a background slot becomes free when its shares of border and area both fall below this
            part of the two thresholds.
        background_frames: frames over which these shares are averaged; the first ones are judged together.
        cut_change: least share of the picture that changes at a cut between shots, see `CutDetector`; 1 looks for none.
        flash_frames: a sudden change that is undone within so many frames is a flash, not two cuts. After a sudden
            change frames are given out with a delay of so many.
    """

    birth_area: float = 0.003
    keep_area: float = 0.001
    birth_confidence: float = 0.3
    keep_confidence: float = 0.15
    birth_frames: int = 2
    return_similarity: float = 0.5
    max_hidden_frames: int = 250
    background_border: float = 0.15
    background_area: float = 0.4
    background_release: float = 0.5
    background_frames: int = 8
    cut_change: float = 0.08
    flash_frames: int = 3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least, most = (1 if field.name.endswith("_frames") else 0), _UPPER.get(field.name, 1)
            if not least <= value <= most:
                raise ConfigError(f"tracking's {field.name} must be between {least} and {most:g}, got {value}")
        for keep, birth in (("keep_area", "birth_area"), ("keep_confidence", "birth_confidence")):
            if getattr(self, keep) > getattr(self, birth):
                raise ConfigError(
                    f"tracking's {keep} must not exceed its {birth}, got {getattr(self, keep)} and "
                    f"{getattr(self, birth)}"
                )


_UPPER = {"birth_frames": 64, "background_frames": 64, "flash_frames": 64, "max_hidden_frames": 10**9}
"""Largest values where it isn't 1. Frames are held in memory while a birth, the background or a cut is undecided."""
