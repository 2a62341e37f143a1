"""The limit that a workload's time is laid beside."""

from __future__ import annotations

import pytest
import torch
from benchmarks.machine import Machine
from benchmarks.roofline import work_of

MACHINE = Machine(name="", device=torch.device("cpu"), num_threads=1, matrix_rates={torch.float32: 1e9}, bandwidth=1e6)


def test_an_operation_takes_the_larger_of_its_arithmetic_and_its_memory_traffic():
    left, right = torch.ones(8, 16), torch.ones(16, 32)
    product = work_of(lambda: left @ right, MACHINE)
    assert product.flops == 2 * 8 * 16 * 32
    assert product.num_bytes == 4 * (8 * 16 + 16 * 32 + 8 * 32)
    assert product.limit_seconds == pytest.approx(product.num_bytes / MACHINE.bandwidth)


def test_backward_counts_and_views_cost_nothing():
    weight, inputs = torch.ones(32, 16, requires_grad=True), torch.ones(8, 16, requires_grad=True)
    forward = work_of(lambda: torch.nn.functional.linear(inputs, weight), MACHINE)
    both = work_of(lambda: torch.nn.functional.linear(inputs, weight).sum().backward(), MACHINE)
    assert both.flops == 3 * forward.flops
    assert work_of(lambda: inputs.detach().t().reshape(16, 8), MACHINE).num_operations == 0


@torch.inference_mode()
def test_inference_is_counted_by_its_parts():
    assert work_of(lambda: torch.nn.functional.linear(torch.ones(8, 16), torch.ones(32, 16)), MACHINE).flops == 8192
