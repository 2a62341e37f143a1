"""What losses over the whole batch need where it is split over processes."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed


def gather_videos(own: Float[Tensor, "b ..."]) -> tuple[Float[Tensor, "B ..."], int]:
    """The rows of all processes' parts of the batch in order, and the place where this process's begin.

    Gradients flow back to the processes that the rows came from, those of all processes' losses added up; since the
    gradients of weights are averaged afterwards, a mean over one's own rows is right where a single process takes the
    mean over all. Parts must have the same shape. In a process that is alone nothing is done.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return own, 0
    everybody: Tensor = _Gathered.apply(own)
    return everybody, distributed.get_rank() * len(own)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
