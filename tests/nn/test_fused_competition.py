"""The Triton kernels compute what the plain formulas compute. Without a GPU they run in Triton's interpreter.

`pip install triton` for the interpreter; it isn't among the development packages, being larger than all of them.
"""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from slotkeeper.nn import competition as plain

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from slotkeeper.nn import fused_competition as fused  # after what says how Triton runs

pytestmark = [pytest.mark.gpu] if torch.cuda.is_available() else []
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALF = torch.bfloat16 if torch.cuda.is_available() else torch.float16
"""The interpreter multiplies no bf16."""


def drawn(seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probes, tokens of which each video is a slice of a longer clip, what is expected, and a gradient of attention."""
    generator = torch.Generator().manual_seed(seed)
    batch, slots = (int(torch.randint(1, high, (), generator=generator)) for high in (4, 20))
    number, width = (int(torch.randint(1, high, (), generator=generator)) for high in (300, 80))
    clip = torch.randn(batch, 3, number, width, generator=generator)
    probes = torch.randn(batch, slots, width, generator=generator) * width**-0.5
    expectation, gradient = torch.randn(2, batch, slots, number, generator=generator)
    if slots > 2:
        expectation[:, 1] = float("-inf")  # a free slot
    return (
        probes.to(DEVICE, dtype),
        clip.to(DEVICE, dtype)[:, 1],
        expectation.to(DEVICE),
        gradient.to(DEVICE),
    )


def assert_alike(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], dtype: torch.dtype) -> None:
    for made, expected in zip(ours, theirs, strict=True):
        assert made.shape == expected.shape
        assert made.dtype == expected.dtype
        close = 1e-4 if dtype == torch.float32 else 0.03
        scale = expected.float().abs().max().item()
        torch.testing.assert_close(made.float(), expected.float(), rtol=0, atol=close * max(scale, 1e-3))


@pytest.mark.parametrize("dtype", [torch.float32, HALF])
@pytest.mark.parametrize("seed", range(6))
def test_the_competition(seed: int, dtype: torch.dtype) -> None:
    probes, tokens, expectation, _ = drawn(seed, dtype)
    of_slots = expectation[:, :, :1].nan_to_num(neginf=-50)
    for expected in (None, expectation, of_slots):
        ours = fused.fused_competition(probes, tokens, expected)
        assert_alike(ours, plain.competition(probes, tokens, expected), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, HALF])
@pytest.mark.parametrize("seed", range(6))
def test_its_gradient(seed: int, dtype: torch.dtype) -> None:
    probes, tokens, expectation, gradient = drawn(seed, dtype)
    attention, mass, read = plain.competition(probes, tokens, expectation)
    pulled = (torch.randn(read.shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE) / (mass + 1)).to(dtype)
    spared = (pulled.float() * read).sum(-1, keepdim=True)
    for given in (None, gradient):
        ours = fused.fused_pull(pulled, spared, tokens, attention, given)
        assert_alike(ours, plain.pull(pulled, spared, tokens, attention, given), dtype)


def test_whole_iterations_have_the_gradients_of_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    probes, tokens, expectation, _ = drawn(4, torch.float32)
    gradients = []
    for kernels in (None, fused):
        monkeypatch.setattr(plain, "_fused_for", lambda _, kernels=kernels: kernels)
        begun, seen = probes.clone().requires_grad_(), tokens.clone().requires_grad_()
        contested, found = plain.contest(seen), begun
        for _ in range(3):
            read, attention = plain.compete(found, contested, expectation, epsilon=0.5)
            found = found + read.tanh()
        (found.sin().sum() + attention.square().sum()).backward()
        gradients.append((begun.grad, seen.grad))
    assert_alike(gradients[1], gradients[0], torch.float32)
