"""A bound on the size of models, known before the memory for it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from slotkeeper.errors import ConfigError

MAX_NUMBERS = 2**29
"""In a model: 2 GB in float32, and 10 GB with gradient, average and optimizer. The shipped models have 0.4 million."""
_MAX_TENSORS = 4_000
"""In a model; it takes a few seconds to make so many layers. The shipped models have about 100."""


class WeightLimit(TorchDispatchMode):
    """While it is entered, tensors can be made from nothing only up to `MAX_NUMBERS` numbers in all.

    Raises:
        ConfigError: the next tensor would exceed them, or have a negative size; it isn't made.
    """

    def __init__(self) -> None:
        super().__init__()
        self._num_numbers = self._num_tensors = 0

    def __torch_dispatch__(
        self, function: Any, kinds: Any, arguments: Sequence[Any] = (), settings: Mapping[str, Any] | None = None
    ) -> Any:
        """Count the numbers of a new tensor, then make it."""
        if arguments and isinstance(arguments[0], list | tuple) and all(isinstance(n, int) for n in arguments[0]):
            if min(arguments[0], default=0) < 0:
                raise ConfigError(f"the model can't have a layer of {min(arguments[0])} numbers; raise its widths")
            self._num_numbers += math.prod(arguments[0])
            self._num_tensors += 1
            if self._num_numbers > MAX_NUMBERS:
                raise ConfigError(f"the model would have more than {MAX_NUMBERS} weights; lower its widths")
            if self._num_tensors > _MAX_TENSORS:
                raise ConfigError(f"the model would have more than {_MAX_TENSORS} tensors; lower its number of layers")
        return function(*arguments, **(settings or {}))
