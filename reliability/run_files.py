"""Mutated configs, and mutated checkpoints and run folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from reliability import originals
from reliability.mutations import Rng, mutated_bytes, mutated_data, mutated_text
from reliability.outcomes import Outcome, attempt, run_command
from slotkeeper.build import build_losses, build_model, load_model
from slotkeeper.config import Config, load_config, read_yaml, write_yaml

_MOST_WEIGHTS, _MOST_FRAMES = 300_000, 64
"""Accepted configs of up to so many weights, and frames in a batch, are trained for a step."""
_BOMBS = (
    "a: " + "[" * 100_000,
    "{" * 50_000,
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "&a [*a]",
    "<<: {seed: 1}",
    "seed: !!python/object/apply:os.system ['touch escaped']",
    "!!python/module:os",
    "seed: !!int '9" + "9" * 5000 + "'",
    "seed: " + "9" * 5000,
    "a:\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 1500)),
    "- " * 20_000,
    "? " * 20_000,
    "seed: 1:1:1:1",
    "seed: 2001-99-99",
    "seed: 0x" + "f" * 300_000,
    "%YAML 9.9\n---\nseed: 1",
    "seed: 1\n---\nseed: 2",
)


class Configs:
    """Configs, through loading and building; small ones are trained for a step."""

    def __init__(self, folder: Path):
        self._videos = originals.write_run(folder / "trained").parent / "videos"
        self._text = originals.config_text(self._videos)

    def write(self, rng: Rng, case: Path) -> str:
        data, done = self._mutated(rng)
        (case / "run.yaml").write_bytes(data)
        return done

    def _mutated(self, rng: Rng) -> tuple[bytes, str]:
        draw = rng.random()
        if draw < 0.6:
            changed, done = mutated_data(rng, read_yaml(self._text, "original"))
            try:
                return write_yaml(changed).encode(errors="surrogatepass"), done
            except ValueError:  # numbers of more digits than Python writes
                return json.dumps(None).encode(), "nothing"
        if draw < 0.65:
            bomb = str(rng.choice(_BOMBS))
            return (self._text + bomb if rng.random() < 0.3 else bomb).encode(), f"bomb {bomb[:40]!r}"
        if draw < 0.9:
            text, done = mutated_text(rng, self._text)
            return text.encode(), done
        return mutated_bytes(rng, self._text.encode(), b"\xff\xfe- &a [*a]\n!!python/name:os.system\n" * 9)

    def feed(self, case: Path, out: Path) -> Outcome:
        path = case / "run.yaml"
        built: list[tuple[Config, int]] = []

        def build() -> None:
            config = load_config(path)
            model = build_model(config)
            build_losses(config, model)
            built.append((config, sum(weight.numel() for weight in model.parameters())))

        outcome = attempt(build)
        if built and _is_small(*built[0]):
            limits = ["training.steps=1", f"data.path={out / 'scenes'}", "data.scenes=null"]
            return run_command("train", path, "--set", *limits, "--out", out / "run", "--quiet")
        return outcome


def _is_small(config: Config, num_weights: int) -> bool:
    """Whether a step of it is a matter of seconds on any machine."""
    training, (height, width) = config.training, config.data.size
    lengths = training.clip_length if isinstance(training.clip_length, int) else 8
    batch = training.batch_size if isinstance(training.batch_size, int) else 8
    pixels = height * width * config.model.num_slots
    has_scenes = config.data.scenes is not None
    return num_weights < _MOST_WEIGHTS and lengths * batch <= _MOST_FRAMES and pixels < 2**16 and not has_scenes


class Checkpoints:
    """Files of a run, through loading, tracking and resuming."""

    _STATE = ("training.json", "training.safetensors")
    _FILES = ("model.json", "model.safetensors", *_STATE)
    _BESIDE = ("config.yaml", "data.json", "metrics.jsonl", "versions.json")

    def __init__(self, folder: Path):
        self._run = originals.write_run(folder / "trained")
        self._clip = originals.write_videos(folder / "videos")[0]
        self._newest = sorted((self._run / "checkpoints").iterdir())[-1].name

    def write(self, rng: Rng, case: Path) -> str:
        shutil.copytree(self._run, case / "run")
        is_beside = rng.random() < 0.15
        name = str(rng.choice(self._BESIDE if is_beside else self._FILES))
        path = case / "run" / name if is_beside else case / "run" / "checkpoints" / self._newest / name
        data, done = self._mutated(rng, path)
        path.write_bytes(data)
        return f"{name}: {done}"

    def _mutated(self, rng: Rng, path: Path) -> tuple[bytes, str]:
        data = path.read_bytes()
        if rng.random() < 0.5 and path.suffix == ".json":
            changed, done = mutated_data(rng, json.loads(data))
            return json.dumps(changed).encode(), done
        if rng.random() < 0.05 and path.suffix == ".json":
            return b"[" * 100_000, "deep"
        if rng.random() < 0.6 and path.suffix == ".safetensors":
            length = int.from_bytes(data[:8], "little")
            changed, done = mutated_data(rng, json.loads(data[8 : 8 + length]))
            header = json.dumps(changed).encode()
            return len(header).to_bytes(8, "little") + header + data[8 + length :], f"header {done}"
        return mutated_bytes(rng, data, b"\x80\x04\x95cos\nsystem\n(S'touch escaped'\ntR." * 20)

    def feed(self, case: Path, out: Path) -> Outcome:
        run = out / "run"
        shutil.copytree(case / "run", run)
        outcome = attempt(lambda: load_model(run))
        run_command("track", self._clip, "--model", run, "--out", out / "tracks", "--quiet")
        if attempt(lambda: _check_is_short(run)) is Outcome.ACCEPTED:
            resumed = run_command("resume", run, "--quiet")
            outcome = resumed if outcome is Outcome.ACCEPTED else outcome
        return outcome


def _check_is_short(run: Path) -> None:
    """Leave out runs whose changed config asks for more than seconds; they are no attack, but a longer training."""
    from slotkeeper.errors import ConfigError

    config = load_config(run / "config.yaml")
    if config.training.steps > 8 or not _is_small(config, 0):
        raise ConfigError("a longer training")
