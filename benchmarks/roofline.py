"""How long a piece of work would take if each of its operations ran at the machine's limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import conv_flop_count, flop_registry

from benchmarks.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one call does. limit_seconds: the sum of its operations' limits."""

    flops: float
    num_bytes: float
    num_operations: int
    limit_seconds: float


@dataclass(kw_only=True)
class OperationWork:
    """All calls of one operation with inputs of the same shapes. seconds: taken, on a CPU."""

    calls: int = 0
    flops: float = 0.0
    num_bytes: float = 0.0
    limit_seconds: float = 0.0
    seconds: float = 0.0


Operations = dict[tuple[str, tuple[tuple[int, ...], ...]], OperationWork]
"""By name and shapes of the tensors that go in."""


class _Counter(TorchDispatchMode):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.operations: Operations = {}

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if operation._overloadpacket not in _COUNTS:
            with self:  # operations made of others, as inference sees them, are counted by their parts
                result = operation.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        began = time.perf_counter()
        result = operation(*args, **kwargs)
        seconds = time.perf_counter() - began
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        tensors = inputs + [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if operation.is_view or not tensors:
            return result
        count = _COUNTS.get(operation._overloadpacket)
        flops = float(count(*args, **kwargs, out_val=result)) if count else 0.0
        num_bytes = float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
        dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
        key = (operation._overloadpacket.__name__, tuple(tuple(tensor.shape) for tensor in inputs))
        work = self.operations.setdefault(key, OperationWork())
        work.calls += 1
        work.flops += flops
        work.num_bytes += num_bytes
        work.limit_seconds += max(flops / self.machine.rate(dtype), num_bytes / self.machine.bandwidth)
        work.seconds += seconds
        return result


def _onednn_count(frames: Tensor, weight: Tensor, *_: Any, out_val: Tensor) -> int:
    return conv_flop_count(list(frames.shape), list(weight.shape), list(out_val.shape))


_COUNTS: dict[Any, Any] = dict(flop_registry) | {torch.ops.aten.mkldnn_convolution: _onednn_count}


def operations_of(run: Callable[[], object], machine: Machine) -> Operations:
    """Count each operation's FLOPs and the bytes of its inputs and outputs, forward and backward.

    An operation's limit is the larger of FLOPs over the matrix rate of its type and bytes over the bandwidth; views
    cost nothing. So the limit is that of the program as it is written, without fusing operations, and small tensors
    that stay in a cache can beat it. What is compiled is counted as it was written.
    """
    with torch.compiler.set_stance("force_eager"), _Counter(machine) as counted:
        run()
    return counted.operations


def work_of(run: Callable[[], object], machine: Machine) -> Work:
    """All operations of `operations_of` together."""
    parts = operations_of(run, machine).values()
    return Work(
        flops=sum(part.flops for part in parts),
        num_bytes=sum(part.num_bytes for part in parts),
        num_operations=sum(part.calls for part in parts),
        limit_seconds=sum(part.limit_seconds for part in parts),
    )
