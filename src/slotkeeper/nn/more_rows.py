"""More or fewer of vectors that were learned one by one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def with_rows(learned: nn.Parameter, num_rows: int) -> nn.Parameter:
    """The first rows, and further ones drawn with the mean and the spread of all that were learned; deterministic.

    Copies would stay equal for ever where nothing tells them apart.
    """
    rows: Float[Tensor, "n d"] = learned.detach()
    private = torch.Generator().manual_seed(0)
    noise = torch.randn(max(0, num_rows - len(rows)), rows.shape[1], generator=private).to(rows)
    further = rows.mean(dim=0) + rows.std(dim=0, correction=0) * noise
    return nn.Parameter(torch.cat((rows[:num_rows], further)), requires_grad=learned.requires_grad)
