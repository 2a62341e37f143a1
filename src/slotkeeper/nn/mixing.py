"""Sums over slots or colours at every pixel, without the tensors of all slots' colours that autograd would make."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def mixed(masks: Float[Tensor, "b t s h w"], pictures: Float[Tensor, "b t s c h w"]) -> Float[Tensor, "b t c h w"]:
    """The slots' pictures, summed with their masks as weights."""
    picture: Tensor = _Mixed.apply(masks, pictures)
    return picture


def squared_errors(
    pictures: Float[Tensor, "b t s c h w"], frames: Float[Tensor, "b t c h w"]
) -> Float[Tensor, "b t s h w"]:
    """Squared distance of each slot's picture from the frame, summed over colours."""
    errors: Tensor = _SquaredErrors.apply(pictures, frames)
    return errors


def unlikelihood(
    masks: Float[Tensor, "b t s h w"], errors: Float[Tensor, "b t s h w"], variance: float
) -> Float[Tensor, "b t h w"]:
    """Negative log-likelihood of each pixel, the slots' normal distributions mixed by their masks; without constants.

    errors: squared, of each slot's own picture, summed over channels.
    """
    log_masks = functional.threshold(masks, 1e-6, 1e-6).log()  # a cheaper gradient than a clamp's
    return -torch.sub(log_masks, errors, alpha=0.5 / variance).logsumexp(dim=2)


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, masks: Tensor, pictures: Tensor) -> Tensor:
        ctx.save_for_backward(masks, pictures)
        total = masks[:, :, 0, None] * pictures[:, :, 0]
        for slot in range(1, masks.shape[2]):
            total.addcmul_(masks[:, :, slot, None], pictures[:, :, slot])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        masks, pictures = ctx.saved_tensors
        of_masks = gradient[:, :, None, 0] * pictures[:, :, :, 0]
        for color in range(1, pictures.shape[3]):
            of_masks.addcmul_(gradient[:, :, None, color], pictures[:, :, :, color])
        return of_masks, gradient[:, :, None] * masks[:, :, :, None]


class _SquaredErrors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, frames: Tensor) -> Tensor:
        differences = pictures - frames[:, :, None]
        ctx.save_for_backward(differences)
        total = differences[:, :, :, 0].square()
        for color in range(1, differences.shape[3]):
            total.addcmul_(differences[:, :, :, color], differences[:, :, :, color])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        (differences,) = ctx.saved_tensors
        of_pictures = differences * (2 * gradient)[:, :, :, None]
        return of_pictures, -of_pictures.sum(dim=2) if ctx.needs_input_grad[1] else None
