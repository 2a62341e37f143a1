"""The recurrence through PyTorch's compiler: fewer, larger operations, and CUDA graphs on a GPU.

A clip is a loop over frames of some hundred small operations each, and a GPU waits for the processor that launches
them. Compiled, each part of the recurrence is a few kernels; as CUDA graphs (`mode="reduce-overhead"`) each is one
launch, forwards and backwards. Evaluation and tracking stay as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from slotkeeper.errors import ConfigError
from slotkeeper.model import SlotModel

_MOST_COMPILATIONS = 1024
"""Of each part: one for each shape, of which a curriculum and predictors that look back have many; by default 8."""


def compile_recurrence(model: SlotModel, *, backend: str = "inductor") -> None:
    """Let corrector, predictor and the admission of newcomers be compiled at their first calls, whole or not at all.

    Where the model isn't to be compiled, call it in `uncompiled`. backend: of `torch.compile`.

    Raises:
        ConfigError: this PyTorch is too old.
    """
    from torch._dynamo import config  # only now: loading the compiler takes a second

    if not hasattr(config, "recompile_limit"):
        raise ConfigError(f"training.compile needs PyTorch 2.7 or newer, this is {torch.__version__}; set it to false")
    config.recompile_limit = config.accumulated_recompile_limit = _MOST_COMPILATIONS
    options: dict[str, Any] = {"backend": backend, "fullgraph": True, "dynamic": False}
    if backend == "inductor" and next(model.parameters()).is_cuda:
        options["mode"] = "reduce-overhead"
    model.corrector.compile(**options)
    model.predictor.compile(**options)
    model.initializer.admit = torch.compile(model.initializer.admit, **options)  # type: ignore[method-assign]


@contextmanager
def uncompiled() -> Iterator[None]:
    """Here compiled models run as they were written."""
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def compiled_step() -> Iterator[None]:
    """One training step of a compiled model: what its graphs made in the step before may be overwritten.

    Raises:
        ConfigError: something in the model can't be compiled, or there is no compiler here.
    """
    torch.compiler.cudagraph_mark_step_begin()
    try:
        with warnings.catch_warnings():
            # Its compiler looks through caches of constants; there is nothing in that to be warned of.
            warnings.filterwarnings("ignore", r".*`functools.lru_cache`-wrapped function", UserWarning)
            yield
    except RuntimeError as error:
        if not _is_of_compiler(error):
            raise
        lines = [line for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
        reason = lines[0] if lines else type(error).__name__
        raise ConfigError(
            f"training.compile is true, but this model can't be compiled here; set it to false (the compiler: {reason})"
        ) from error


def _is_of_compiler(error: RuntimeError) -> bool:
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    return isinstance(error, TorchDynamoException | InductorError)
