"""The compiled recurrence learns as the plain one does; what can't be compiled is told."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_run import raw_config, write_squares

from slotkeeper.build import build_model
from slotkeeper.checkpoint import list_checkpoints, read_model
from slotkeeper.config import parse_config
from slotkeeper.errors import ConfigError, TrainingError
from slotkeeper.model import SlotModel
from slotkeeper.training import loop, train
from slotkeeper.training.compiling import compile_recurrence, compiled_step

WHOLE = ("demo", "systems/savi_small", "techniques/conv_lstm", "techniques/smooth_sa", "techniques/recurrent_truncated")
RANDOM = ("techniques/nem", "techniques/randsf_q")
SCRIPT = Path(__file__).parent / "support" / "compiled_learning.py"


def compiled_learning(*arguments: str) -> Any:
    made = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def compiler_failed(reason: str) -> RuntimeError:
    from torch._dynamo.exc import BackendCompilerFailed

    return BackendCompilerFailed(None, RuntimeError(reason), None)


@pytest.fixture(scope="module")
def learned() -> dict[str, dict[str, Any]]:
    """Through all of the compiler but its last stage, which writes kernels."""
    made: dict[str, dict[str, Any]] = compiled_learning("steps", "aot_eager", "cpu", *WHOLE, *RANDOM)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_compiled_as_a_whole_it_learns_the_same(name: str, learned: dict[str, dict[str, Any]]):
    assert learned[name]["compiled"] == pytest.approx(learned[name]["plain"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_within_a_frame_are_refused(name: str, learned: dict[str, dict[str, Any]]):
    assert learned[name]["refused"].startswith("training.compile is true, but this model can't be compiled here")


@pytest.mark.slow
def test_a_curriculum_may_have_many_sizes():
    """PyTorch's compiler gives up after eight by itself."""
    assert compiled_learning("sizes") == 10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_learn_the_same():
    for made in compiled_learning("steps", "inductor", "cuda", *WHOLE).values():
        assert made["compiled"] == pytest.approx(made["plain"], rel=1e-3)


@pytest.mark.slow
def test_a_run_is_watched_uncompiled_and_ends_with_the_same_weights(tmp_path: Path):
    assert compiled_learning("runs", str(tmp_path)) == 1
    plain, compiled = (read_model(list_checkpoints(tmp_path / name)[-1])[0] for name in ("plain", "compiled"))
    for name, value in plain.items():
        # Adam makes of a gradient near 0, which is rounding alone, a part of a whole step (1e-3).
        torch.testing.assert_close(
            compiled[name], value, rtol=1e-3, atol=3e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("plain", "compiled")]
    for theirs, ours in zip(*([json.loads(line) for line in log] for log in logs), strict=True):
        seen = {key: value for key, value in theirs.items() if key.startswith(("slot_gradient", "loss"))}
        assert not seen or any(key.startswith("slot_gradient") for key in seen)
        assert {key: ours[key] for key in seen} == pytest.approx(seen, rel=1e-3)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script_method. is deprecated:DeprecationWarning"
)  # the compiler, loaded
def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="out of memory"), compiled_step():
        raise RuntimeError("out of memory")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method. is deprecated:DeprecationWarning")
def test_an_old_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """PyTorch 2.6, which all else can do with, has no such limits."""
    monkeypatch.setattr(importlib.import_module("torch._dynamo"), "config", SimpleNamespace())
    with pytest.raises(ConfigError, match=r"needs PyTorch 2\.7 or newer"):
        compile_recurrence(build_model(parse_config(raw_config(tmp_path), "test")))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method. is deprecated:DeprecationWarning")
def test_what_the_compiler_fails_at_is_told():
    refusal = "can't be compiled here; set it to false .the compiler: RuntimeError: no compiler found"
    with pytest.raises(ConfigError, match=refusal), compiled_step():
        raise compiler_failed("no compiler found")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method. is deprecated:DeprecationWarning")
def test_ctrl_c_that_ends_the_compiler_too_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A terminal sends it to all processes."""

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise compiler_failed("g++ has died")

    def compile_slowly(model: SlotModel) -> None:
        model.corrector.register_forward_pre_hook(interrupted)

    monkeypatch.setattr(loop, "compile_recurrence", compile_slowly)
    squares = write_squares(tmp_path / "squares", 3)
    config = parse_config(raw_config(squares, squares, compile=True), "test")
    with pytest.raises(TrainingError, match=r"^stopped by Ctrl-C, .* in step 1; go on by 'slotkeeper resume"):
        train(config, tmp_path / "run", show_progress=False)
    assert list_checkpoints(tmp_path / "run"), "there is something to go on from"


def test_recomputing_is_refused(tmp_path: Path):
    raw = raw_config(tmp_path, compile=True, checkpoint_activations=True)
    with pytest.raises(ConfigError, match="checkpoint_activations can't both be true"):
        parse_config(raw, "test")
