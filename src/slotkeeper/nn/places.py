"""Where slots are and what they look like: what attention may expect, and how it follows what the slots see.

All in float32: callers turn autocast off.
"""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from slotkeeper.nn.colors import weighted_colors
from slotkeeper.types import Places

_VELOCITY_GAIN, _VELOCITY_KEPT = 0.5, 0.8
"""Share of a surprise that becomes velocity; share of the velocity that a frame without evidence leaves."""
_DOUBT_GROWTH, _LARGEST_DOUBT = 0.1, 0.5
_COLOR_RATE = 0.1
_HUE_WEIGHT, _COLOR_WEIGHT = 1.0, 0.1
_LARGEST_PENALTY = 6.0
_LEAST_SEEN = 0.5
"""In tokens' worth of attention: less is no sight of anything."""


def places_at(
    centres: Float[Tensor, "b s 2"],
    is_placed: Bool[Tensor, "b s"],
    is_free: Bool[Tensor, "b s"],
    spreads: Float[Tensor, "b s"] | None = None,
) -> Places:
    """Places of slots that have seen nothing yet, at rest; without `spreads` they are points."""
    zeros = torch.zeros_like(centres[..., 0])
    return Places(
        centres=centres,
        spreads=zeros if spreads is None else spreads,
        velocities=torch.zeros_like(centres),
        doubts=zeros,
        colors=zeros[..., None].expand(*zeros.shape, 3),
        ages=zeros.long(),
        unseen=zeros.long(),
        is_placed=is_placed,
        is_free=is_free,
    )


def settled(places: Places, is_chosen: Bool[Tensor, "b s"], centres: Float[Tensor, "b s 2"]) -> Places:
    """The chosen slots anew at their centres, knowing nothing; the others as they were."""
    begun = places_at(centres, torch.ones_like(is_chosen), torch.zeros_like(is_chosen))
    changed = {
        part.name: torch.where(
            is_chosen.view(*is_chosen.shape, *[1] * (getattr(begun, part.name).dim() - 2)),
            getattr(begun, part.name),
            getattr(places, part.name),
        )
        for part in fields(places)
    }
    return Places(**changed)


def log_density(
    places: Places, basis: Float[Tensor, "4 n"], *, window: tuple[float, float], handicap: float
) -> Float[Tensor, "b s n"]:
    """Logarithm of each slot's window at each token, up to a constant. basis: see `round_basis`.

    Around a placed slot it is a normal density whose standard deviation is the slot's spread within `window` plus its
    doubt, 0 at the centre of the narrowest one; everywhere `-handicap` for slots that are not placed.
    """
    deviations = places.spreads.clamp(*window) + places.doubts
    factor = torch.where(places.is_placed, -0.5 * deviations**-2, 0)
    x, y = places.centres.unbind(-1)
    height = torch.where(places.is_placed, factor * (x**2 + y**2) - 2 * (deviations / window[0]).log(), -handicap)
    return torch.stack((height, -2 * factor * x, -2 * factor * y, factor), dim=-1) @ basis


def strangeness(places: Places, colors: Float[Tensor, "b n 3"]) -> Float[Tensor, "b s n"]:
    """Squared distance of each token's colour from the one that a placed slot remembers; 0 for those without memory."""
    known = weighted_colors(places.colors, _HUE_WEIGHT, _COLOR_WEIGHT)
    seen = weighted_colors(colors.transpose(1, 2), _HUE_WEIGHT, _COLOR_WEIGHT, dim=1)
    distances = (known[..., None] - seen[:, None]).square().sum(2)
    return distances * (places.is_placed & (places.ages > 0))[..., None]


def log_familiarity(places: Places, colors: Float[Tensor, "b n 3"], strictness: float) -> Float[Tensor, "b s n"]:
    """What attention logits lose by strange colours: `-strictness` times their strangeness, down to a limit."""
    return -(strictness * strangeness(places, colors)).clamp_max(_LARGEST_PENALTY)


def coasted(places: Places) -> Places:
    """One frame further at the same velocity."""
    return replace(places, centres=places.centres + places.velocities)


def followed(places: Places, attention: Float[Tensor, "b s n"], basis: Float[Tensor, "4 n"]) -> Places:
    """Centre and spread of the tokens that each slot wins, as far as there are any. basis: see `round_basis`.

    A slot that wins one token's worth of attention moves half way. Only the winner of a token counts, so that two slots
    of the same colour that share a little don't slide into each other.
    """
    moments = won_attention(attention) @ basis.T
    mass = moments[..., 0]
    moments = moments / (mass[..., None] + 1e-8)
    centres = moments[..., 1:3]
    spreads = (moments[..., 3] - (2 - moments[..., 0]) * centres.square().sum(-1)).clamp_min(0).sqrt()
    share = torch.where(places.is_placed, mass / (mass + 1), 0)
    return replace(
        places,
        centres=torch.lerp(places.centres, centres, share[..., None]),
        spreads=torch.lerp(places.spreads, spreads, share),
    )


def remembered(
    expected: Places, seen: Places, attention: Float[Tensor, "b s n"], colors: Float[Tensor, "b n 3"]
) -> Places:
    """The places that were seen, with what a slot learns from a whole frame: velocity, doubt and colour.

    Velocities follow the surprise, how far a place lies from the expected one (an alpha-beta filter); a slot that sees
    nothing slows down, and its doubt grows. The first sight sets the colour; it then drifts slowly.
    """
    won = won_attention(attention)
    mass = won.sum(-1)
    share = mass / (mass + 1)
    kept = _VELOCITY_KEPT + (1 - _VELOCITY_KEPT) * share
    moved = seen.velocities + _VELOCITY_GAIN * (seen.centres - expected.centres) * (seen.ages > 0)[..., None]
    doubts = ((seen.doubts + _DOUBT_GROWTH * (1 - share)) * (1 - share)).clamp_max(_LARGEST_DOUBT)
    mean = (won @ colors) / (mass[..., None] + 1e-8)
    is_seen = mass > _LEAST_SEEN
    rate = torch.where(seen.ages == 0, is_seen.to(share), _COLOR_RATE * share)
    return replace(
        seen,
        velocities=kept[..., None] * moved,
        doubts=doubts,
        colors=torch.lerp(seen.colors, mean, rate[..., None]),
        ages=seen.ages + is_seen,
        unseen=torch.where(is_seen, 0, seen.unseen + 1),
    )


def won_attention(attention: Float[Tensor, "b s n"]) -> Float[Tensor, "b s n"]:
    """Each token's attention from the slot that attends most to it; 0 from the others."""
    return attention * (attention == attention.amax(dim=1, keepdim=True))
