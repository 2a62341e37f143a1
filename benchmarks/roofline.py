"""How long a piece of work would take if each of its operations ran at the machine's limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.machine import Machine


class Roofline(TorchDispatchMode):
    """Counts each operation's FLOPs and the bytes of its inputs and outputs, forward and backward.

    An operation's limit is the larger of FLOPs over the matrix rate of its type and bytes over the bandwidth. Views cost nothing. So
    the limit is that of the program as it is written, without fusing operations; small tensors that stay in a cache can beat it.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine
        self.flops, self.num_bytes, self.seconds, self.num_operations = 0.0, 0.0, 0.0, 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        if operation.is_view:
            return result
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if not tensors:
            return result
        count = flop_registry.get(operation._overloadpacket)
        flops = float(count(*args, **kwargs, out_val=result)) if count else 0.0
        num_bytes = float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))
        dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
        self.flops += flops
        self.num_bytes += num_bytes
        self.seconds += max(flops / self.machine.rate(dtype), num_bytes / self.machine.bandwidth)
        self.num_operations += 1
        return result


def roofline_of(run: Callable[[], object], machine: Machine) -> Roofline:
    """The limit of one call."""
    with Roofline(machine) as roofline:
        run()
    return roofline
