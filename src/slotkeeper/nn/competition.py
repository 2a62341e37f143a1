"""Slots compete for tokens: the part of slot attention whose cost grows with the picture, with its gradient by hand.

Autograd would write a gradient of all tokens for every read, each in another memory layout, and add them up. Here each
iteration only notes the two thin factors of its share; all shares are one matrix product when the backward pass
leaves the frame.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(kw_only=True)
class Factors:
    """Pairs `b k n` and `b k e` of one backward pass; those of one that never came to the tokens are forgotten.

    A reentrant checkpoint is a backward pass of its own: it may hold reads together with their `contest`, not without.
    """

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    backward_pass: int = -1

    def note(self, left: Float[Tensor, "b k n"], right: Float[Tensor, "b k e"]) -> None:
        """Within a backward pass alone."""
        current = torch._C._current_graph_task_id()
        if current != self.backward_pass:
            self.pairs.clear()
        self.backward_pass = current
        self.pairs.append((left, right))

    def product(self) -> Float[Tensor, "b n e"]:
        """The sum of the pairs' products; they are gone afterwards."""
        lefts, rights = zip(*self.pairs, strict=True)
        self.pairs.clear()
        return torch.cat(lefts, dim=1).transpose(1, 2) @ torch.cat(rights, dim=1)


@dataclass(frozen=True, kw_only=True)
class ContestedTokens:
    """Tokens `b n e` that slots read several times.

    ticket: a scalar through which autograd knows that the reads come before the tokens' gradient. factors: noted by one
    backward pass of the reads, the gradient being the sum of their products.
    """

    tokens: Float[Tensor, "b n e"]
    ticket: Float[Tensor, ""]
    factors: Factors


def contest(tokens: Float[Tensor, "b n e"]) -> ContestedTokens:
    """Tokens ready to be read by `compete`, in the precision that they have."""
    factors = Factors()
    if torch.compiler.is_compiling():
        return ContestedTokens(tokens=tokens, ticket=tokens.new_zeros(()), factors=factors)
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
    logits gain for reasons of their own. Products with tokens are in their precision, all else is in float32. Where
    this is compiled, nothing is by hand: the compiler finds the gradient.
    """
    if torch.compiler.is_compiling():
        tokens = contested.tokens
        attention, mass, read = competition(probes.to(tokens.dtype), tokens, expectation)
        return read / (mass + epsilon), attention
    read, attention = _Compete.apply(
        probes, contested.ticket, contested.tokens, expectation, epsilon, contested.factors
    )
    return read, attention


def competition(
    probes: Float[Tensor, "b s e"], tokens: Float[Tensor, "b n e"], expectation: Float[Tensor, "b s _"] | None
) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b s 1"], Float[Tensor, "b s e"]]:
    """Attention, its sum over tokens, and the tokens' sum weighted by it; in float32."""
    logits = (probes @ tokens.transpose(1, 2)).float()
    attention = (logits if expectation is None else logits + expectation).softmax(dim=1)
    return attention, attention.sum(-1, keepdim=True), (attention.to(tokens.dtype) @ tokens).float()


def pull(
    pulled: Float[Tensor, "b s e"],
    spared: Float[Tensor, "b s 1"],
    tokens: Float[Tensor, "b n e"],
    attention: Float[Tensor, "b s n"],
    attention_gradient: Float[Tensor, "b s n"] | None,
) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b s e"]]:
    """The logits' gradient, in the tokens' precision, and the probes', in float32.

    The attention's is its own, if there is one, plus pulled . tokens - spared; the softmax passes it on.
    """
    gradient = (pulled @ tokens.transpose(1, 2)).float() - spared
    if attention_gradient is not None:
        gradient = gradient + attention_gradient
    gradient = attention * gradient
    gradient = (gradient - attention * gradient.sum(dim=1, keepdim=True)).to(tokens.dtype)
    return gradient, (gradient @ tokens).float()


def _fused_for(probes: Tensor) -> ModuleType | None:
    """The kernels, where they can do this."""
    fused = _fused(probes.device) if probes.is_cuda else None
    return fused if fused is not None and fused.is_fusible(probes) else None


@cache
def _fused(device: torch.device) -> ModuleType | None:
    """The kernels, once they were seen to agree with the plain formulas on this device."""
    try:
        from slotkeeper.nn import fused_competition as fused
    except ImportError:  # no Triton on this system
        return None
    generator = torch.Generator().manual_seed(0)
    probes, tokens = (torch.randn(2, number, 24, generator=generator).to(device) for number in (5, 70))
    expected = competition(probes, tokens, None)
    pulled, spared = expected[2] / 70, torch.ones_like(expected[1])
    try:
        made = fused.fused_competition(probes, tokens, None)
        pairs = [*zip(made, expected, strict=True)]
        arguments = (pulled, spared, tokens, expected[0], None)
        pairs += zip(fused.fused_pull(*arguments), pull(*arguments), strict=True)
    except Exception as error:  # a compiler, a driver or a card that these kernels were never tried on
        warnings.warn(f"slot attention goes without its Triton kernels, which failed: {error}", stacklevel=2)
        return None
    if not all(torch.allclose(ours, theirs, rtol=0.01, atol=0.01) for ours, theirs in pairs):
        warnings.warn("slot attention goes without its Triton kernels, which are wrong on this GPU", stacklevel=2)
        return None
    return fused


class _Contest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, factors: Factors) -> Tensor:
        ctx.factors = factors
        return torch.zeros((), device=tokens.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        return ctx.factors.product(), None


class _Compete(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        probes: Tensor,
        ticket: Tensor,
        tokens: Tensor,
        expectation: Tensor | None,
        epsilon: float,
        factors: Factors,
    ) -> tuple[Tensor, Tensor]:
        with torch.autocast(tokens.device.type, enabled=False):
            narrow, fused = probes.to(tokens.dtype), _fused_for(probes)
            compete_for = competition if fused is None else fused.fused_competition
            attention, mass, read = compete_for(narrow, tokens, expectation)
            mass = mass + epsilon
            read = read / mass
        ctx.save_for_backward(narrow, tokens, attention, mass, read)
        ctx.set_materialize_grads(False)
        ctx.expected = None if expectation is None else expectation.shape
        ctx.factors, ctx.dtype, ctx.fused = factors, probes.dtype, fused
        return read, attention

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, read_gradient: Tensor | None, attention_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        narrow, tokens, attention, mass, read = ctx.saved_tensors
        with torch.autocast(tokens.device.type, enabled=False):
            pulled = torch.zeros_like(read) if read_gradient is None else read_gradient / mass
            spared = (pulled * read).sum(-1, keepdim=True)
            pulled = pulled.to(tokens.dtype)
            pull_at = pull if ctx.fused is None else ctx.fused.fused_pull
            gradient, probes = pull_at(pulled, spared, tokens, attention, attention_gradient)
            if ctx.needs_input_grad[1]:
                shares = attention.to(tokens.dtype)
                ctx.factors.note(torch.cat((gradient, shares), dim=1), torch.cat((narrow, pulled), dim=1))
            expectation = gradient.float().sum_to_size(ctx.expected) if ctx.needs_input_grad[3] else None
        return probes.to(ctx.dtype), mass.new_zeros(()), None, expectation, None, None
