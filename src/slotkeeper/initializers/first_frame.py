"""First slots taken from the first frame: one for each region that stands out; later frames bring newcomers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Initializer
from slotkeeper.nn.colors import weighted_colors
from slotkeeper.nn.more_rows import with_rows
from slotkeeper.nn.places import places_at, settled
from slotkeeper.nn.positions import position_grid
from slotkeeper.noise import VideoNoise
from slotkeeper.types import Features, GivenStart, PlacedSlots

_NUM_SWEEPS = 12
_SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0))
_LEAST_CONTRAST = 0.05
"""Below this a frame counts as empty, and noise doesn't become an object."""
_RING = 0.2
"""How much the mixed colours around a picked region still count."""


class FirstFrameInitializer(Initializer):
    """One learned background slot, then a slot for each region of the first frame that stands out; the rest are free.

    How far a cell of the fine colour grid stands out is `hue_weight` times the squared distance of its colour's
    direction (c / |c|, which shading hardly changes) from that of the frame's median colour, plus `color_weight` times
    that of the colours. Regions are neighbouring cells that stand out by more than `threshold` and differ from one
    another by less than `link`, so a thing with a bright and a dark side is one, and two of one colour that don't touch
    are two; those of fewer than `min_cells` cells don't count. A slot is a projection of the token in its region's
    middle, placed there; the most striking regions come first.

    Free slots hold nothing. In later frames, where the background's slot attends to 3 x 3 cells that stand out by more
    than `newcomer_threshold` on average, one free slot a frame is given to what is there; 0 admits nobody. Where none
    is free, it is the slot that has seen nothing for longest, if for `forget_after` frames. Where a start is given, its
    points are the picks. Deterministic.

    is_relative: the two thresholds and `link` are shares of the frame's contrast, how far its most striking hundredth
    stands out, so that pale videos are seen like vivid ones.
    """

    num_background = 1
    is_resizable = True
    start_kinds = ("points", "boxes", "masks")

    def __init__(
        self,
        *,
        num_slots: int,
        slot_dim: int,
        feature_dim: int,
        hue_weight: float = 0.5,
        color_weight: float = 0.3,
        threshold: float = 0.06,
        link: float = 0.015,
        min_cells: int = 2,
        newcomer_threshold: float = 0.1,
        forget_after: int = 48,
        is_relative: bool = False,
    ):
        super().__init__()
        if min(hue_weight, color_weight, threshold, link, newcomer_threshold) < 0:
            raise ConfigError("initializer first_frame takes no negative weights or thresholds")
        if forget_after < 1:
            raise ConfigError(f"initializer.forget_after must be at least 1, got {forget_after}")
        self.num_slots = num_slots
        self.hue_weight = hue_weight
        self.color_weight = color_weight
        self.threshold = threshold
        self.link = link
        self.min_cells = min_cells
        self.newcomer_threshold = newcomer_threshold
        self.forget_after = forget_after
        self.is_relative = is_relative
        self.background = nn.Parameter(torch.randn(1, slot_dim))
        self.free = nn.Parameter(torch.randn(num_slots - 1, slot_dim))
        self.project = nn.Sequential(nn.LayerNorm(feature_dim), nn.Linear(feature_dim, slot_dim))

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots from the first frame's tokens, placed where they were picked."""
        if given is None:
            with torch.no_grad():
                points, is_new = self.pick(features.colors[:, 0].float())
        else:
            points, is_new = _padded(given, self.num_slots - 1)
        picked = self._slots_at(points, features)
        objects = torch.where(is_new[..., None], picked, self.free.to(picked))
        slots = torch.cat((self.background.to(picked).expand(len(picked), -1, -1), objects), dim=1)
        is_free = functional.pad(~is_new, (1, 0))
        places = places_at(functional.pad(points, (0, 0, 1, 0)), functional.pad(is_new, (1, 0)), is_free)
        return PlacedSlots(slots=slots, places=places)

    def with_num_slots(self, num_slots: int) -> FirstFrameInitializer:
        """More regions are picked, and more slots wait free for newcomers; these are drawn like the learned ones."""
        resized = deepcopy(self)
        resized.num_slots = num_slots
        resized.free = with_rows(self.free, num_slots - 1)
        return resized

    def pick(self, colors: Float[Tensor, "b 3 y x"]) -> tuple[Float[Tensor, "b s 2"], Bool[Tensor, "b s"]]:
        """The middle of one region for each slot but the background's, and whether there was a region."""
        shades, striking = self.stand_out(colors)
        regions = connected(shades, striking > self.threshold, self.link)
        remaining = striking * ((regions > 0) & (sizes_of(regions) >= self.min_cells))
        picked, is_new = [], []
        for _ in range(self.num_slots - 1):
            strength, cell = remaining.flatten(1).max(dim=1)
            label = regions.flatten(1).gather(1, cell[:, None])
            region = (regions == label[..., None]) & (label[..., None] > 0)
            picked.append(region)
            is_new.append(strength > self.threshold)
            share = region.to(remaining)
            ring = (functional.avg_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0] > 0).to(share) - share
            remaining = remaining * (1 - share - (1 - _RING) * ring)
        points = _middle(torch.stack(picked, 1).flatten(0, 1), _cells(colors))
        return points.view(len(colors), -1, 2), torch.stack(is_new, 1)

    def admit(self, placed: PlacedSlots, frame: Features, attention: Float[Tensor, "b s n"]) -> PlacedSlots:
        """Give one idle slot of each video to the most striking place that the background's slot attends to."""
        places = placed.places
        if places is None or self.newcomer_threshold == 0:
            return placed
        idle = torch.where(places.is_free, places.unseen + self.forget_after, places.unseen * places.is_placed)
        looks = placed.slots.device.type == "cpu" and not torch.compiler.is_compiling()  # elsewhere a look is a wait
        if looks and not (idle >= self.forget_after).any():
            return placed
        with torch.no_grad():
            point, is_new = self._newcomer(frame, attention)
            longest, slot = idle.max(dim=1)
            is_chosen = functional.one_hot(slot, self.num_slots).bool()
            is_chosen = is_chosen & (is_new & (longest >= self.forget_after))[:, None]
        if looks and not is_chosen.any():
            return placed
        newcomer = self._slots_at(point[:, None], frame).to(placed.slots)
        return replace(
            placed,
            slots=torch.where(is_chosen[..., None], newcomer, placed.slots),
            places=settled(places, is_chosen, point[:, None].expand_as(places.centres)),
        )

    def stand_out(self, colors: Float[Tensor, "b 3 y x"]) -> tuple[Float[Tensor, "b 6 y x"], Float[Tensor, "b y x"]]:
        """Weighted colours and directions, and their squared distance from those of the frame's median colour."""
        colors = colors.contiguous()
        median = colors.flatten(2).median(dim=2).values[..., None, None]
        shades, background = (weighted_colors(c, self.hue_weight, self.color_weight, dim=1) for c in (colors, median))
        striking = (shades - background).square().sum(1)
        if self.is_relative:
            contrast = striking.flatten(1).quantile(0.99, dim=1)[:, None, None].clamp_min(_LEAST_CONTRAST)
            shades, striking = shades / contrast[:, None].sqrt(), striking / contrast
        return shades, striking

    def _newcomer(
        self, frame: Features, attention: Float[Tensor, "b s n"]
    ) -> tuple[Float[Tensor, "b 2"], Bool[Tensor, " b"]]:
        colors = frame.colors[:, 0].float()
        unheld = attention[:, :1].unflatten(2, frame.grid)
        striking = self.stand_out(colors)[1][:, None] * functional.interpolate(unheld, colors.shape[-2:])
        strength, cell = functional.avg_pool2d(striking, 3, stride=1, padding=1).flatten(1).max(dim=1)
        return _cells(colors).flatten(0, 1)[cell], strength > self.newcomer_threshold

    def _slots_at(self, points: Float[Tensor, "b s 2"], features: Features) -> Float[Tensor, "b s d"]:
        """Projections of the tokens under points of the first of the frames."""
        rows, columns = features.grid
        x, y = ((points + 1) / 2).unbind(-1)
        column, row = (x * columns).long().clamp(0, columns - 1), (y * rows).long().clamp(0, rows - 1)
        tokens = features.tokens[:, 0]
        picked = tokens.gather(1, (row * columns + column)[..., None].expand(-1, -1, tokens.shape[-1]))
        slots: Tensor = self.project(picked)
        return slots


def connected(shades: Float[Tensor, "b c y x"], stands_out: Bool[Tensor, "b y x"], link: float) -> Int[Tensor, "b y x"]:
    """Number each region of cells that stand out and, step by step, differ by less than `link`; 0 elsewhere.

    Cells take the largest number among their neighbours, again and again; far ends of long winding regions may keep one
    of their own.
    """
    links = [((shifted(shades, side, float("inf")) - shades).square().sum(1) < link) & stands_out for side in _SIDES]
    numbers = torch.arange(1, stands_out[0].numel() + 1, device=shades.device, dtype=torch.float32)
    padded = functional.pad(numbers.view_as(stands_out[0]) * stands_out, (1, 1, 1, 1))
    height, width = stands_out.shape[-2:]
    labels = padded[:, 1:-1, 1:-1]
    neighbours = [padded[:, 1 - y : 1 - y + height, 1 - x : 1 - x + width] for y, x in _SIDES]
    for _ in range(_NUM_SWEEPS):
        for neighbour, linked in zip(neighbours, links, strict=True):
            torch.maximum(labels, neighbour * linked, out=labels)
    return labels.long()


def sizes_of(regions: Int[Tensor, "b y x"]) -> Int[Tensor, "b y x"]:
    """Number of cells of each cell's region."""
    flat = regions.flatten(1)
    counts = torch.zeros(len(flat), flat.shape[1] + 1, dtype=flat.dtype, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    return counts.gather(1, flat).view_as(regions)


def shifted(picture: Float[Tensor, "b c h w"], side: tuple[int, int], fill: float) -> Float[Tensor, "b c h w"]:
    """Each cell's neighbour on one side (rows, columns up or left of it); `fill` beyond the border."""
    down, right = side
    padded = functional.pad(picture, (1, 1, 1, 1), value=fill)
    height, width = picture.shape[-2:]
    return padded[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width]


def _cells(colors: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "y x 2"]:
    return position_grid(colors.shape[-2], colors.shape[-1], colors.device)


def _middle(region: Bool[Tensor, "b y x"], positions: Float[Tensor, "y x 2"]) -> Float[Tensor, "b 2"]:
    """The region's cell that lies nearest its centre of mass."""
    weights = region.to(positions)[..., None]
    centre = (weights * positions).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1)
    apart = (positions - centre[:, None, None]).square().sum(-1).masked_fill(~region, float("inf"))
    return positions.flatten(0, 1)[apart.flatten(1).argmin(1)]


def _padded(given: GivenStart, num_picks: int) -> tuple[Float[Tensor, "b s 2"], Bool[Tensor, "b s"]]:
    missing = num_picks - given.points.shape[1]
    return functional.pad(given.points, (0, 0, 0, missing)), functional.pad(given.is_given, (0, missing))
