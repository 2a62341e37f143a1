"""How long a piece of work would take if each of its operations ran at the machine's limit."""

from __future__ import annotations

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


class _Counter(TorchDispatchMode):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.flops, self.num_bytes, self.seconds, self.num_operations = 0.0, 0.0, 0.0, 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if operation._overloadpacket not in flop_registry:
            with self:  # operations made of others, as inference sees them, are counted by their parts
                result = operation.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = operation(*args, **kwargs)
        if operation.is_view:
            return result
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if not tensors:
            return result
        if operation._overloadpacket is torch.ops.aten.mkldnn_convolution:
            flops = float(conv_flop_count(args[0].shape, args[1].shape, result.shape))
        else:
            count = flop_registry.get(operation._overloadpacket)
            flops = float(count(*args, **kwargs, out_val=result)) if count else 0.0
        num_bytes = float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
        dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
        self.flops += flops
        self.num_bytes += num_bytes
        self.seconds += max(flops / self.machine.rate(dtype), num_bytes / self.machine.bandwidth)
        self.num_operations += 1
        return result


def work_of(run: Callable[[], object], machine: Machine) -> Work:
    """Count each operation's FLOPs and the bytes of its inputs and outputs, forward and backward.

    An operation's limit is the larger of FLOPs over the matrix rate of its type and bytes over the bandwidth; views
    cost nothing. So the limit is that of the program as it is written, without fusing operations, and small tensors
    that stay in a cache can beat it.
    """
    with _Counter(machine) as counted:
        run()
    return Work(
        flops=counted.flops,
        num_bytes=counted.num_bytes,
        num_operations=counted.num_operations,
        limit_seconds=counted.seconds,
    )
