"""Slots compete for tokens: the part of slot attention whose cost grows with the picture, with its gradient by hand.

Autograd would write a gradient of all tokens for every read, each in another memory layout, and add them up. Here each
iteration only notes the two thin factors of its share; all shares are one matrix product when the backward pass
leaves the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, kw_only=True)
class ContestedTokens:
    """Tokens `b n e` that slots read several times.

    ticket: a scalar through which autograd knows that the reads come before the tokens' gradient. factors: noted by the
    backward pass of the reads, the gradient being the sum of their products.
    """

    tokens: Float[Tensor, "b n e"]
    ticket: Float[Tensor, ""]
    factors: list[tuple[Float[Tensor, "b k n"], Float[Tensor, "b k e"]]] = field(default_factory=list)


def contest(tokens: Float[Tensor, "b n e"]) -> ContestedTokens:
    """Tokens ready to be read by `compete`, in the precision that they have."""
    factors: list[tuple[Tensor, Tensor]] = []
    ticket: Tensor = _Contest.apply(tokens, factors)
    return ContestedTokens(tokens=tokens.detach(), ticket=ticket, factors=factors)


def compete(
    probes: Float[Tensor, "b s e"],
    contested: ContestedTokens,
    expectation: Float[Tensor, "b s _"] | None = None,
    *,
    epsilon: float,
) -> tuple[Float[Tensor, "b s e"], Float[Tensor, "b s n"]]:
    """What each slot reads, and its attention: Locatello et al. 2020 (arXiv 2006.15055), algorithm 1, lines 6 to 8.

    a = softmax over slots of (probes . tokens + expectation); read = sum_n a x / (sum_n a + epsilon). expectation: what
    logits gain for reasons of their own; no gradient flows into it. Products with tokens are in their precision, all
    else is in float32.
    """
    read, attention = _Compete.apply(
        probes, contested.ticket, contested.tokens, expectation, epsilon, contested.factors
    )
    return read, attention


class _Contest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, factors: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.factors = factors
        return torch.zeros((), device=tokens.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        lefts, rights = zip(*ctx.factors, strict=True)
        ctx.factors.clear()
        return torch.cat(lefts, dim=1).transpose(1, 2) @ torch.cat(rights, dim=1), None


class _Compete(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        probes: Tensor,
        ticket: Tensor,
        tokens: Tensor,
        expectation: Tensor | None,
        epsilon: float,
        factors: list[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(tokens.device.type, enabled=False):
            narrow = probes.to(tokens.dtype)
            logits = (narrow @ tokens.transpose(1, 2)).float()
            attention = (logits if expectation is None else logits + expectation).softmax(dim=1)
            mass = attention.sum(-1, keepdim=True) + epsilon
            shares = attention.to(tokens.dtype)
            read = (shares @ tokens).float() / mass
        ctx.save_for_backward(narrow, tokens, attention, shares, mass, read)
        ctx.set_materialize_grads(False)
        ctx.factors, ctx.dtype = factors, probes.dtype
        return read, attention

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, read_gradient: Tensor | None, attention_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        narrow, tokens, attention, shares, mass, read = ctx.saved_tensors
        with torch.autocast(tokens.device.type, enabled=False):
            pulled = torch.zeros_like(read) if read_gradient is None else read_gradient / mass
            spared = (pulled * read).sum(-1, keepdim=True)
            pulled = pulled.to(tokens.dtype)
            gradient = (pulled @ tokens.transpose(1, 2)).float() - spared
            if attention_gradient is not None:
                gradient = gradient + attention_gradient
            gradient = attention * gradient
            gradient = (gradient - attention * gradient.sum(dim=1, keepdim=True)).to(tokens.dtype)
            if ctx.needs_input_grad[1]:
                ctx.factors.append((torch.cat((gradient, shares), dim=1), torch.cat((narrow, pulled), dim=1)))
            probes = (gradient @ tokens).to(ctx.dtype)
        return probes, torch.zeros_like(mass[0, 0, 0]), None, None, None, None
