"""How many times faster training becomes when a frozen backbone's features are computed once, side by side.

python benchmarks/features.py CONFIG [--set key=value ...] [--random-vit] [--rounds 5] [--steps 3]

CONFIG's encoder must have a frozen backbone; `--random-vit` takes one of ViT-S/16's size with random weights instead,
made by `transformers`. A few built-in scenes are rendered. In each round so many steps are trained with the backbone,
then as many with cached features; seconds per step are medians over rounds, once by the clock and once of processor
time, which tells the work also where other programs share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from slotkeeper.build import build_model
from slotkeeper.config import Config, load_config
from slotkeeper.training import Trainer, find_run_videos
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.features import compute_features
from slotkeeper.training.watching import Watcher

_NUM_VIDEOS, _NUM_FRAMES = 8, 8
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


def write_random_vit(folder: Path) -> Path:
    """ViT-S/16 as `transformers` saves it: 384 wide, 12 layers, 6 heads, for pictures of 224x224."""
    from transformers import ViTConfig, ViTModel

    shape = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}
    ViTModel(ViTConfig(**shape), add_pooling_layer=False).save_pretrained(folder / "vit")
    return folder / "vit"


def trainer_of(config: Config, run: Path) -> Trainer:
    """Ready to train, its videos decoded and one step done."""
    run.mkdir()
    videos = find_run_videos(config.data, show_progress=False).train
    trainer = Trainer(config, run, CurriculumSource(config, videos), Watcher(config, run, []))
    trainer.train_step()
    return trainer


def seconds_per_step(trainer: Trainer, num_steps: int) -> dict[str, float]:
    """By each clock."""
    started = {name: clock() for name, clock in CLOCKS.items()}
    for _ in range(num_steps):
        trainer.train_step()
    trainer.averages.read()
    return {name: (clock() - started[name]) / num_steps for name, clock in CLOCKS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value")
    parser.add_argument("--random-vit", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = [f"data.scenes.num_train={_NUM_VIDEOS}", "data.scenes.num_val=0", f"data.path={folder / 'scenes'}"]
        settings += [f"data.scenes.num_frames={_NUM_FRAMES}", "data.augmentation={}", "training.precision=fp32"]
        if parsed.random_vit:
            settings.append(f"model.encoder={{name: vit, weights: '{write_random_vit(folder)}'}}")
        config = load_config(parsed.config, [*settings, *parsed.set])
        videos = find_run_videos(config.data, show_progress=False)
        started = {name: clock() for name, clock in CLOCKS.items()}
        made = compute_features(
            build_model(config), config, videos.root, folder / "features", show_progress=False, shard_mb=64
        )
        spent = ", ".join(f"{clock() - started[name]:.1f} s {name} time" for name, clock in CLOCKS.items())
        per_frame = made.num_bytes / made.num_frames / 1e3
        print(f"features of {made.num_frames} frames: {spent}, {per_frame:.1f} kB a frame on disk", flush=True)
        cached = replace(config, data=replace(config.data, features=str(folder / "features")))
        trainers = {
            name: trainer_of(settings, folder / name) for name, settings in (("backbone", config), ("cached", cached))
        }
        rounds: list[dict[str, dict[str, float]]] = []
        for _ in range(parsed.rounds):
            rounds.append({name: seconds_per_step(trainer, parsed.steps) for name, trainer in trainers.items()})
        for trainer in trainers.values():
            trainer.source.close()
    for clock in CLOCKS:
        medians = {name: statistics.median(one[name][clock] for one in rounds) for name in trainers}
        ratios = [one["backbone"][clock] / one["cached"][clock] for one in rounds]
        print(
            f"{clock:9} backbone {medians['backbone']:.3f} s a step, cached {medians['cached']:.3f} s: "
            f"{statistics.median(ratios):.2f} times faster ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
