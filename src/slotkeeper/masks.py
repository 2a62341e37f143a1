"""From soft masks to segments."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from slotkeeper.nn.mixing import squared_errors
from slotkeeper.types import Decoded

_CHUNK_VALUES = 1 << 24
"""Soft values that are held at once while masks are resized (64 MB in float32)."""


def segments_from_masks(
    masks: Float[Tensor, "b t s h w"], size: tuple[int, int] | None = None
) -> Int[Tensor, "b t rows columns"]:
    """Give each pixel to the slot with the largest soft mask; labels are slot indices from 0.

    Label 0 is slot 0, not background: which slots are background is decided later (see `relabel`). Ties go to the
    lowest slot. With `size` (height, width) the soft masks are resized first, bilinearly with pixel centres aligned
    (corners are not), in float32, and antialiased where they shrink.

    Raises:
        ValueError: a size below one pixel.
    """
    if size is None or tuple(size) == tuple(masks.shape[-2:]):
        return masks.argmax(dim=2)
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 x 1, got {size[0]} x {size[1]}")
    batch, time, slots = masks.shape[:3]
    frames_at_once = max(1, _CHUNK_VALUES // (slots * size[0] * size[1]))
    frames = masks.reshape(batch * time, *masks.shape[2:])
    segments = [resize_soft_masks(chunk, size).argmax(dim=1) for chunk in frames.split(frames_at_once)]
    return torch.cat(segments).reshape(batch, time, *size)


def responsibilities(
    masks: Float[Tensor, "b t s h w"],
    pictures: Float[Tensor, "b t s 3 h w"],
    frames: Float[Tensor, "b t 3 h w"],
    sigma: float,
) -> Float[Tensor, "b t s h w"]:
    """How much each slot is responsible for each pixel, once the pixel is seen; sums to 1 over slots.

    The posterior of a spatial mixture (N-EM, arXiv 1708.03498, equation 3): the masks are the prior, and each slot's
    picture is the mean of a normal distribution with the standard deviation `sigma` in RGB of [0, 1].
    """
    errors = squared_errors(pictures, frames)
    posterior: Tensor = (masks.log() - 0.5 * errors / sigma**2).softmax(dim=2)
    return posterior


def resize_soft_masks(masks: Float[Tensor, "n s h w"], size: tuple[int, int]) -> Float[Tensor, "n s rows columns"]:
    """Resize soft masks bilinearly in float32; they still sum to 1 over slots."""
    shrinks = size[0] < masks.shape[-2] or size[1] < masks.shape[-1]
    return functional.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def slot_pictures(
    decoded: Decoded, frames: Float[Tensor, "b t 3 h w"]
) -> tuple[Float[Tensor, "b t s 3 h w"], Float[Tensor, "b t s h w"]]:
    """What each slot shows, and its mask at the same size, for people to look at.

    That is what it draws, where slots draw pictures in RGB at the frames' size; otherwise the frame itself.
    """
    masks = decoded.masks
    if masks.shape[-2:] != frames.shape[-2:]:
        size = (frames.shape[-2], frames.shape[-1])
        masks = resize_soft_masks(masks.flatten(0, 1), size).unflatten(0, tuple(masks.shape[:2]))
    if decoded.shown is not None and decoded.shown.shape[-2:] == frames.shape[-2:]:
        return decoded.shown, masks
    return frames[:, :, None].expand(-1, -1, masks.shape[2], -1, -1, -1), masks
