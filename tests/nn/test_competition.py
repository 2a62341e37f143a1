"""Slot attention's products with tokens: the gradient by hand is autograd's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import slotkeeper.nn
from slotkeeper.nn import competition as plain
from slotkeeper.nn.competition import compete, contest

EPSILON = 0.5


def plainly(probes: Tensor, tokens: Tensor, expectation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Algorithm 1 of arXiv 2006.15055, lines 6 to 8."""
    logits = torch.einsum("bse,bne->bsn", probes, tokens)
    attention = (logits if expectation is None else logits + expectation).softmax(dim=1)
    weights = attention / (attention.sum(dim=2, keepdim=True) + EPSILON)
    return torch.einsum("bsn,bne->bse", weights, tokens), attention


def drawn(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    batch, slots, num, width = (int(torch.randint(1, 9, (), generator=generator)) for _ in range(4))
    probes, tokens = (torch.randn(batch, k, width, generator=generator, dtype=dtype) for k in (slots, num))
    expectation = torch.randn(batch, slots, num, generator=generator, dtype=dtype)
    return probes.requires_grad_(), tokens.requires_grad_(), expectation


def iterated(read: object, probes: Tensor, tokens: Tensor) -> Tensor:
    """Three reads of the same tokens, each from what the last one found, as slot attention iterates."""
    assert callable(read)
    total = torch.zeros((), dtype=torch.float32)
    for number in range(3):
        found, attention = read(probes)
        probes = probes + found.tanh()
        total = total + (found * (number + 1)).sin().sum() + attention.square().sum()
    return total


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("has_expectation", [False, True])
def test_values_and_gradients_are_those_of_the_plain_formula(seed: int, has_expectation: bool) -> None:
    probes, tokens, drawn_expectation = drawn(seed, torch.float32)
    expectation = drawn_expectation if has_expectation else None
    contested = contest(tokens)
    ours = iterated(lambda p: compete(p, contested, expectation, epsilon=EPSILON), probes, tokens)
    gradients = torch.autograd.grad(ours, (probes, tokens))
    theirs = iterated(lambda p: plainly(p, tokens, expectation), probes, tokens)
    expected = torch.autograd.grad(theirs, (probes, tokens))
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_of_slots", [False, True])
def test_what_is_expected_has_the_gradient_of_the_plain_formula(is_of_slots: bool) -> None:
    probes, tokens, drawn_expectation = drawn(6, torch.float32)
    expectation = (drawn_expectation[:, :, :1] if is_of_slots else drawn_expectation).clone().requires_grad_()
    contested = contest(tokens)
    ours = iterated(lambda p: compete(p, contested, expectation, epsilon=EPSILON), probes, tokens)
    theirs = iterated(lambda p: plainly(p, tokens, expectation), probes, tokens)
    gradient, wanted = (torch.autograd.grad(value, expectation)[0] for value in (ours, theirs))
    assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_a_slot_that_is_minus_infinity_everywhere_reads_nothing_and_has_no_gradient() -> None:
    probes, tokens, expectation = drawn(3, torch.float32)
    probes = torch.cat((probes, probes), dim=1).detach().requires_grad_()
    expectation = torch.cat((expectation, torch.full_like(expectation, float("-inf"))), dim=1)
    read, attention = compete(probes, contest(tokens), expectation, epsilon=EPSILON)
    idle = slice(probes.shape[1] // 2, None)
    assert not attention[:, idle].any()
    assert not read[:, idle].any()
    (gradient,) = torch.autograd.grad(read.sum() + attention.square().sum(), probes)
    assert gradient.isfinite().all()
    assert not gradient[:, idle].any()


def test_tokens_that_nothing_trains_get_no_gradient() -> None:
    probes, tokens, _ = drawn(1, torch.float32)
    contested = contest(tokens.detach())
    read, _ = compete(probes, contested, epsilon=EPSILON)
    read.sum().backward()
    assert probes.grad is not None
    assert not contested.factors.pairs


def test_a_second_backward_pass_gives_the_same_gradient() -> None:
    probes, tokens, _ = drawn(2, torch.float32)
    read, _ = compete(probes, contest(tokens), epsilon=EPSILON)
    value = read.square().sum()
    (first,) = torch.autograd.grad(value, tokens, retain_graph=True)
    (second,) = torch.autograd.grad(value, tokens)
    assert torch.equal(first, second)


def test_in_bf16_the_products_are_rounded_and_nothing_else() -> None:
    probes, tokens, _ = drawn(5, torch.float32)
    narrow = tokens.detach().bfloat16().requires_grad_()
    read, attention = compete(probes, contest(narrow), epsilon=EPSILON)
    assert read.dtype == attention.dtype == torch.float32
    exact, sure = plainly(probes, narrow.float(), None)
    assert torch.allclose(attention, sure, atol=0.03)
    assert torch.allclose(read, exact, atol=0.05)
    (gradient,) = torch.autograd.grad(read.sum(), narrow)
    assert gradient.dtype == torch.bfloat16


def test_a_backward_pass_that_stops_at_the_slots_adds_nothing_to_a_later_one() -> None:
    probes, tokens, _ = drawn(2, torch.float32)
    contested = contest(tokens)
    value = iterated(lambda p: compete(p, contested, None, epsilon=EPSILON), probes, tokens)
    (expected,) = torch.autograd.grad(value, tokens, retain_graph=True)
    torch.autograd.grad(value, probes, retain_graph=True)
    (gradient,) = torch.autograd.grad(value, tokens)
    assert torch.equal(gradient, expected)


def test_no_video_at_all_has_a_gradient_too() -> None:
    probes, tokens = torch.rand(0, 3, 4, requires_grad=True), torch.rand(0, 7, 4, requires_grad=True)
    read, _ = compete(probes, contest(tokens), epsilon=EPSILON)
    read.sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.shape == tokens.shape


def fail(*_: Any) -> Any:
    raise RuntimeError("no such card")


def doubled(*arguments: Any) -> Any:
    return [2 * made for made in plain.competition(*arguments)]


@pytest.mark.parametrize(
    ("kernel", "said"), [(fail, "kernels, which failed: no such card"), (doubled, "kernels, which are wrong")]
)
def test_kernels_that_fail_or_are_wrong_are_left_out(
    kernel: Callable[..., Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = SimpleNamespace(fused_competition=kernel, fused_pull=plain.pull)
    monkeypatch.setattr(slotkeeper.nn, "fused_competition", fused, raising=False)
    with pytest.warns(UserWarning, match=said):
        assert plain._fused.__wrapped__(torch.device("cpu")) is None
