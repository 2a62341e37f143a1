"""Trains with and without the compiler, and prints what came of it as JSON; a process of its own.

The tests' own check of shapes wraps each function in another one, which PyTorch's compiler can't look through.

python compiled_learning.py steps BACKEND DEVICE CONFIG ...
python compiled_learning.py runs FOLDER
python compiled_learning.py sizes
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from small_run import raw_config, write_squares

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import load_config, parse_config
from slotkeeper.errors import ConfigError
from slotkeeper.training import loop, train
from slotkeeper.training.compiling import compile_recurrence, compiled_step
from slotkeeper.training.step import TrainingStep

CONFIGS = Path(__file__).parents[2] / "configs"


def curve_of(name: str, *, backend: str | None, device: str) -> list[float]:
    """Loss and norm of the gradient in each of three steps on the same clips."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    config = load_config(CONFIGS / f"{name}.yaml")
    config = replace(config, data=replace(config.data, size=(32, 32)))
    model = build_model(config)
    trained = TrainingStep(model, build_losses(config, model)).train().to(device)
    if backend is not None:
        compile_recurrence(model, backend=backend)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1e-3)
    values = []
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        seen = {"frames": torch.rand(2, 3, 3, 32, 32, generator=generator), "times": torch.zeros(2, 3)}
        with compiled_step():
            loss = trained({name: part.to(device) for name, part in seen.items()}, generator, 0.5)["loss"]
            loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained.parameters() if p.grad is not None])
        optimizer.step()
        optimizer.zero_grad()
        values += [loss.item(), norm.item()]
    return values


def sizes() -> int:
    """Steps with one batch size after the other; how many."""
    config = load_config(CONFIGS / "techniques/recurrent_full.yaml")
    config = replace(config, data=replace(config.data, size=(32, 32)))
    model = build_model(config)
    trained = TrainingStep(model, build_losses(config, model)).train()
    compile_recurrence(model, backend="aot_eager")
    for batch in range(1, 11):
        seen = {"frames": torch.rand(batch, 2, 3, 32, 32), "times": torch.zeros(batch, 2)}
        with compiled_step():
            trained(seen, torch.Generator(), 0.5)["loss"].backward()
    return batch


def steps(backend: str, device: str, names: list[str]) -> dict[str, dict[str, object]]:
    """Plain and compiled curve of each config, or why it can't be compiled."""
    found: dict[str, dict[str, object]] = {}
    for name in names:
        found[name] = {"plain": curve_of(name, backend=None, device=device)}
        try:
            found[name]["compiled"] = curve_of(name, backend=backend, device=device)
        except ConfigError as error:
            found[name]["refused"] = str(error)
    return found


def runs(folder: Path) -> int:
    """Two whole runs, `plain` and `compiled`, watched while they learn; how often a model was to be compiled."""
    compilations = 0

    def compile_counted(*args: object) -> None:
        nonlocal compilations
        compilations += 1
        compile_simply(*args)

    compile_simply = partial(compile_recurrence, backend="aot_eager")
    loop.compile_recurrence = compile_counted  # type: ignore[assignment]
    squares = write_squares(folder / "squares", 3)
    for name, is_compiled in (("plain", False), ("compiled", True)):
        raw = raw_config(squares, squares, compile=is_compiled, sample_every=2, evaluate_every=3)
        train(parse_config(raw, "test"), folder / name, show_progress=False)
    return compilations


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "steps":
        print(json.dumps(steps(*arguments[:2], arguments[2:])))
    else:
        print(json.dumps(runs(Path(arguments[0])) if what == "runs" else sizes()))
