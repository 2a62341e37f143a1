"""From the first frames of a video to those that follow, of which nothing is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotkeeper.errors import ConfigError
from slotkeeper.evaluation import check_finite, outputs_of, segments_of_slots
from slotkeeper.model import SlotModel
from slotkeeper.tracking import slot_labels
from slotkeeper.tracking.frame_size import chunk_length
from slotkeeper.types import Decoded, GivenStart

DEFAULT_BURN_IN = 6
"""Frames that a model sees which looks back at one only: as many as SlotFormer does."""


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """A video's seen and foreseen frames, at the model's size and on the CPU.

    masks: of seen frames, responsibilities if the model has a `posterior_sigma`; then of foreseen ones, as decoded.
    pictures: of the foreseen ones, RGB in [0, 1]. num_background, num_given: how many of the first slots are the
    background's, and how many after them began with given objects.
    """

    masks: Float[Tensor, "t s rows columns"]
    pictures: Float[Tensor, "k 3 h w"]
    num_background: int
    num_given: int

    def segments(self, size: tuple[int, int]) -> Int[np.ndarray, "t h w"]:
        """Of all frames at `size` (height, width): slot s, from 0, is label s + 1, or 0 while it is background."""
        return segments_of_masks(self.masks, size, num_background=self.num_background, num_given=self.num_given)


def segments_of_masks(
    masks: Float[Tensor, "t s rows columns"], size: tuple[int, int], *, num_background: int, num_given: int
) -> Int[np.ndarray, "t h w"]:
    """As `slotkeeper.evaluation.evaluate` makes them."""
    slots, is_background = slot_labels(masks, size=size, num_background=num_background, num_given=num_given)
    return segments_of_slots(slots, is_background)


def check_predicts(model: SlotModel) -> None:
    """Refuse a model that can't predict pictures.

    Raises:
        ConfigError: it foresees nothing, can't draw what it foresees, or that is no picture in RGB.
    """
    if model.recurrence == "frame":
        raise ConfigError("this model starts every frame anew (model.recurrence 'frame'), so it foresees nothing")
    if model.dynamics is None and not model.predictor.foresees:
        raise ConfigError(
            "this model foresees nothing: it has no dynamics (model.dynamics), and its predictor doesn't tell from "
            "past frames alone how slots change"
        )
    if model.decoder.target != "frames":
        raise ConfigError(f"this model can't predict pictures: its decoder rebuilds {model.decoder.target}, not frames")
    if not model.decoder.draws_unseen:
        raise ConfigError(
            "this model can't predict pictures: its decoder needs the features of the frame that it draws, or the "
            "attention to it; train one with the decoder broadcast or broadcast_light and attention_weight 0"
        )


def choose_burn_in(model: SlotModel, wanted: int | None) -> int:
    """How many frames are seen: as many as wanted, or as the dynamics look back at.

    Raises:
        ConfigError: fewer are wanted than the model looks back at.
    """
    if wanted is None:
        return DEFAULT_BURN_IN if model.dynamics is None else model.burn_in
    if wanted < model.burn_in:
        raise ConfigError(f"the burn-in must be at least {model.burn_in}, what this model looks back at, got {wanted}")
    return wanted


def describe_foresight(model: SlotModel) -> str:
    """What foresees, in words, for protocols."""
    if model.dynamics is not None:
        return f"the dynamics ({type(model.dynamics).__name__})"
    name = type(model.predictor).__name__
    return f"the predictor ({name}), which is trained for one frame ahead with correction, applied again and again"


@dataclass(frozen=True, kw_only=True)
class SeenVideo:
    """What a model made of a video's frames as it saw them; slots lie on its device, all else on the CPU."""

    slots: Float[Tensor, "1 t s d"]
    masks: Float[Tensor, "t s rows columns"]
    pictures: Float[Tensor, "t 3 h w"]


@torch.inference_mode()
def see_video(
    model: SlotModel, frames: Float[Tensor, "1 t 3 h w"], device: torch.device, given: GivenStart | None = None
) -> SeenVideo:
    """Run over a video as `slotkeeper.evaluation.outputs_of` does it.

    Raises:
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    slots, masks, pictures = [], [], []
    for _, output in outputs_of(model, frames, device, given):
        slots.append(output.trajectory.corrected)
        masks.append(output.decoded.masks[0].float().cpu())
        pictures.append(_shown(output.decoded))
    return SeenVideo(slots=torch.cat(slots, dim=1), masks=torch.cat(masks), pictures=torch.cat(pictures))


@torch.inference_mode()
def foresee_video(
    model: SlotModel,
    seen: Float[Tensor, "1 p 3 h w"],
    num_frames: int,
    *,
    device: torch.device,
    given: GivenStart | None = None,
) -> Foresight:
    """Let a model see some frames of a video and foresee so many more; nothing is random.

    Args:
        model: in evaluation mode, on `device`; `check_predicts` says whether it can.
        seen: frames in [0, 1], at least as many as the model looks back at.
        num_frames: how many to foresee.
        device: where to compute.
        given: where things are in the first of these frames, for models that need it.

    Raises:
        DamagedModelError: the model gives masks that are not finite numbers.
    """
    before = see_video(model, seen, device, given)
    size = (seen.shape[-2], seen.shape[-1])
    chunk = chunk_length(model.num_slots, size)
    past, masks, pictures = before.slots, [before.masks], []
    for first in range(0, num_frames, chunk):
        foreseen = model.foresee(past, min(chunk, num_frames - first), size)
        assert foreseen.decoded is not None
        past = torch.cat((past, foreseen.slots), dim=1)
        check_finite(foreseen.decoded.masks)
        masks.append(foreseen.decoded.masks[0].float().cpu())
        pictures.append(_shown(foreseen.decoded))
    return Foresight(
        masks=torch.cat(masks),
        pictures=torch.cat(pictures),
        num_background=model.initializer.num_background,
        num_given=0 if given is None else int(given.is_given.sum()),
    )


def _shown(decoded: Decoded) -> Float[Tensor, "t 3 h w"]:
    """The first video's pictures as they are shown."""
    return decoded.reconstruction[0].float().clamp(0, 1).cpu()
