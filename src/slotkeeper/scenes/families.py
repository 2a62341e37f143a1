"""The named families of built-in scenes: what may appear, how it moves, and how hard that is to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slotkeeper.errors import ConfigError, nearest_name

Range = tuple[float, float]

COLOURS: dict[str, tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
    "scarlet": (225, 30, 25),
    "azure": (30, 80, 235),
    "lime": (40, 200, 40),
    "orange": (250, 130, 10),
    "magenta": (225, 40, 190),
}
CLEVR_COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
VIVID_COLOURS = ("scarlet", "azure", "lime", "yellow", "cyan", "magenta", "orange")


@dataclass(frozen=True, kw_only=True)
class SceneFamily:
    """One kind of scene; every video of it is drawn from these ranges by its seed.

    Lengths are in units of about one large object's width; the ground's origin is the middle of the picture.

    Attributes:
        name: What users call it.
        description: One line for the documentation.
        num_objects: Fewest and most objects in a video (1 to 254).
        radii: Ranges of sizes; each object picks one range, then a radius in it.
        colours: Names from `COLOURS`.
        has_distinct_colours: No colour twice in a video.
        has_textured_floor: A procedural checker or noise that differs by video, or the same plain grey.
        distance: The camera's distance from the point it looks at.
        elevation: The camera's angle above the ground, degrees.
        azimuth: The camera's angle around the vertical, degrees.
        light_jitter: How far the light's direction differs by video (0 is never).
        speed: Ground speed at the start and after a push, units per second.
        moving_camera_share: Share of videos whose camera orbits slowly.
        entering_share: Chance of an object to start outside the picture and come in.
        leaving_share: Chance of an object to go out of the picture.
        num_crossings: Pairs of a large and a small object that are sent past each other on one line of sight.
        occlusion_share: Share of videos that are searched (over attempts with the same seed) for an object that
            vanishes fully behind another one and comes back.
        min_hidden_frames: Frames in a row without one visible pixel that count as vanished in that search.
        depths: Where objects may be, from near to far of the middle, units.
        field_of_view: Degrees across the picture.
        aspect: The picture's height over its width.
    """

    name: str
    description: str
    num_objects: tuple[int, int]
    radii: tuple[Range, ...]
    colours: tuple[str, ...]
    has_distinct_colours: bool
    has_textured_floor: bool
    distance: Range
    elevation: Range
    azimuth: Range
    light_jitter: float
    speed: Range
    moving_camera_share: float
    entering_share: float
    leaving_share: float
    num_crossings: int
    occlusion_share: float
    min_hidden_frames: int
    depths: Range = (-2.3, 3.0)
    field_of_view: float = 35.0
    aspect: float = 1.0

    def __post_init__(self) -> None:
        """Refuse counts and colours that can't be drawn."""
        low, high = self.num_objects
        if not 1 <= low <= high <= 254:
            raise ConfigError(f"num_objects of scene family {self.name!r} must be within 1 to 254, got {low} to {high}")
        for colour in self.colours:
            if colour not in COLOURS:
                raise ConfigError(
                    f"scene family {self.name!r}: unknown colour {colour!r}, {nearest_name(colour, COLOURS)}"
                )
        if self.has_distinct_colours and high > len(self.colours):
            raise ConfigError(f"scene family {self.name!r}: {high} distinct colours needed, got {len(self.colours)}")


PLAIN = SceneFamily(
    name="plain",
    description="3 or 4 large objects of different vivid colours, plain grey floor, still camera",
    num_objects=(3, 4),
    radii=((0.48, 0.58), (0.66, 0.82)),
    colours=VIVID_COLOURS,
    has_distinct_colours=True,
    has_textured_floor=False,
    distance=(8.2, 8.2),
    elevation=(21.0, 21.0),
    azimuth=(0.0, 0.0),
    light_jitter=0.0,
    speed=(1.0, 2.2),
    moving_camera_share=0.0,
    entering_share=0.04,
    leaving_share=0.06,
    num_crossings=1,
    occlusion_share=0.8,
    min_hidden_frames=1,
)
CLEVR = SceneFamily(
    name="clevr",
    description="3 to 6 objects of CLEVR's colours and materials, two sizes, camera differs by video and may move",
    num_objects=(3, 6),
    radii=((0.42, 0.48), (0.68, 0.78)),
    colours=CLEVR_COLOURS,
    has_distinct_colours=False,
    has_textured_floor=False,
    distance=(8.6, 9.8),
    elevation=(27.0, 34.0),
    azimuth=(-8.0, 8.0),
    light_jitter=0.25,
    speed=(0.8, 2.4),
    moving_camera_share=0.25,
    entering_share=0.15,
    leaving_share=0.2,
    num_crossings=1,
    occlusion_share=0.6,
    min_hidden_frames=1,
)
CROWD = SceneFamily(
    name="crowd",
    description="6 to 10 objects, textured floor, camera moves in half of the videos, long occlusions",
    num_objects=(6, 10),
    radii=((0.38, 0.45), (0.52, 0.62), (0.72, 0.85)),
    colours=CLEVR_COLOURS,
    has_distinct_colours=False,
    has_textured_floor=True,
    distance=(9.4, 10.6),
    elevation=(15.0, 22.0),
    azimuth=(-10.0, 10.0),
    light_jitter=0.3,
    speed=(0.6, 2.2),
    moving_camera_share=0.5,
    entering_share=0.15,
    leaving_share=0.2,
    num_crossings=1,
    occlusion_share=0.7,
    min_hidden_frames=4,
)
CLEVRER = SceneFamily(
    name="clevrer",
    description="2 to 6 objects of one size through a wide lens, pictures of 3:2, many come in later, as in CLEVRER",
    num_objects=(2, 6),
    radii=((0.56, 0.66),),
    colours=CLEVR_COLOURS,
    has_distinct_colours=False,
    has_textured_floor=False,
    distance=(13.0, 14.6),
    elevation=(28.0, 33.0),
    azimuth=(-6.0, 6.0),
    light_jitter=0.35,
    speed=(0.5, 3.0),
    moving_camera_share=0.0,
    entering_share=0.4,
    leaving_share=0.15,
    num_crossings=1,
    occlusion_share=0.0,
    min_hidden_frames=1,
    depths=(-4.2, 6.5),
    field_of_view=49.0,
    aspect=2 / 3,
)
FAMILIES: dict[str, SceneFamily] = {family.name: family for family in (PLAIN, CLEVR, CROWD, CLEVRER)}


def find_family(family: str | SceneFamily) -> SceneFamily:
    """Look a family up by name; a family is returned as it is.

    Raises:
        ConfigError: the name is unknown.
    """
    if isinstance(family, SceneFamily):
        return family
    if family not in FAMILIES:
        raise ConfigError(f"unknown scene family {family!r}: {nearest_name(family, FAMILIES)}")
    return FAMILIES[family]


Shape = Literal["sphere", "box", "cylinder"]
Material = Literal["rubber", "metal"]
