"""What is timed: each workload is made once and then called again and again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.features import write_random_vit
from benchmarks.yardstick import PlainSavi, plain_loss
from slotkeeper.build import build_losses, build_model
from slotkeeper.config import Config, load_config
from slotkeeper.correctors.slot_attention import SlotAttention
from slotkeeper.hardware import Precision, choose_precision
from slotkeeper.scenes.batched import draw_clips
from slotkeeper.scenes.families import find_family
from slotkeeper.scenes.render import render_video
from slotkeeper.scenes.sampling import sample_scene
from slotkeeper.training import Trainer, find_run_videos
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.step import TrainingStep
from slotkeeper.training.watching import Watcher
from slotkeeper.types import Features, PlacedSlots

ROOT = Path(__file__).parents[1]
CLIP_LENGTH, SIZE = 6, 64
NUM_DRAWN = 32
"""Scenes drawn together: 2 million pixels."""
TOKENS, NUM_SLOTS, NUM_ITERATIONS = (64, 1024, 64), 7, 3
VIT_TOKENS = (1, 24, 1024, 384)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """frames: handled by one call of `run`. dtype: of matrix products. waiting: share of the time, since last asked."""

    frames: int
    dtype: torch.dtype
    run: Callable[[], object]
    waiting: Callable[[], float] | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """batch: clips of a training step of the small SAVi, on either side. num_threads: of each side, on the CPU."""

    device: torch.device
    batch: int
    num_threads: int

    @property
    def precision(self) -> Precision:
        """What training would choose here."""
        return _chosen(self.device)


@cache
def _chosen(device: torch.device) -> Precision:
    return choose_precision("auto", device)


def rendered_clips(batch: int, num_frames: int) -> Tensor:
    """Frames `b t 3 h w` of built-in scenes."""
    family = find_family("plain")
    videos = [
        render_video(family, seed=seed, num_frames=num_frames, size=SIZE, num_samples=2).frames for seed in range(batch)
    ]
    return torch.from_numpy(np.stack(videos)).permute(0, 1, 4, 2, 3).contiguous().float() / 255


def yardstick_training(settings: Settings) -> Workload:
    """Forward, backward and Adam in float32."""
    torch.manual_seed(0)
    model = PlainSavi().to(settings.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    frames = rendered_clips(settings.batch, CLIP_LENGTH).to(settings.device)

    def step() -> None:
        optimizer.zero_grad()
        plain_loss(model, frames).backward()
        optimizer.step()

    return Workload(frames=settings.batch * CLIP_LENGTH, dtype=torch.float32, run=step)


def savi_training(settings: Settings) -> Workload:
    """The same model in slotkeeper: the whole step of `slotkeeper train`, clips read from rendered videos."""
    config = load_config(
        ROOT / "configs/systems/savi_small.yaml",
        [f"training.batch_size={settings.batch}", "data.scenes.family=plain", "data.scenes.num_train=64"],
    )
    return training(config, settings)


def demo_training(settings: Settings, *, compiled: bool = False) -> Workload:
    """The whole step of `make demo` in the longer part of its curriculum: 12 clips of 8 frames."""
    config = load_config(
        ROOT / "configs/demo.yaml",
        ["training.clip_length=8", "training.batch_size=12", "data.scenes.num_train=64"],
    )
    return training(replace(config, training=replace(config.training, compile=compiled)), settings)


compiled_demo_training = partial(demo_training, compiled=True)


def vit_training(settings: Settings) -> Workload:
    """DINOSAUR's slots on 24 frames of a ViT's features, 1,024 tokens of 384, computed before: forward, backward, Adam.

    The backbone has random weights and doesn't run; slots go on from frame to frame.
    """
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        side = int(VIT_TOKENS[2] ** 0.5)
        weights = write_random_vit(Path(temporary))
        config = load_config(
            ROOT / "configs/systems/dinosaur.yaml",
            [
                f"model.encoder.weights={weights}",
                f"data.size=[{16 * side}, {16 * side}]",
                f"model.decoder.grid=[{side}, {side}]",
                "model.recurrence=clip",
                "model.predictor={name: transformer, hidden_dim: 512}",
            ],
        )
        model = build_model(config)
    trained = TrainingStep(model, build_losses(config, model)).train().to(settings.device)
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=4e-4)
    seen = {
        "frames": torch.zeros(*VIT_TOKENS[:2], 3, *config.data.size, device=settings.device),
        "times": torch.zeros(VIT_TOKENS[:2], device=settings.device),
        "features": torch.randn(VIT_TOKENS, device=settings.device),
    }
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(settings.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            losses = trained(seen, generator, 0.5)
        losses["loss"].backward()
        optimizer.step()

    return Workload(frames=VIT_TOKENS[0] * VIT_TOKENS[1], dtype=_DTYPES[settings.precision], run=step)


def endless_training(settings: Settings) -> Workload:
    """The small SAVi on scenes without end: physics in background processes, rendering on the training's device."""
    config = load_config(
        ROOT / "configs/systems/savi_small.yaml",
        [f"training.batch_size={settings.batch}", "data.scenes.family=plain", "data.scenes.endless=true"],
    )
    return training(config, settings)


def training(config: Config, settings: Settings) -> Workload:
    """The whole step of a training, videos rendered once into a temporary folder that is kept."""
    scenes = replace(config.data.scenes, num_val=0) if config.data.scenes else None
    folder = tempfile.TemporaryDirectory()
    data = replace(config.data, path=str(Path(tempfile.gettempdir()) / "slotkeeper-benchmarks"), scenes=scenes)
    training = replace(
        config.training, precision=settings.precision, device=settings.device.type, log_slot_gradients=False
    )
    config = replace(config, data=data, training=training)
    videos = find_run_videos(config.data, show_progress=False).train
    trainer = Trainer(
        config, Path(folder.name), CurriculumSource(config, videos), Watcher(config, Path(folder.name), [])
    )

    def step() -> None:
        trainer.train_step()
        trainer.averages.read()

    def waiting() -> float:
        return float(trainer.stopwatch.read()["data_wait_share"])

    step.folder = folder  # type: ignore[attr-defined]  # lives as long as the workload
    frames = int(config.training.batch_size) * int(config.training.clip_length)  # type: ignore[call-overload, arg-type]
    return Workload(frames=frames, dtype=_DTYPES[settings.precision], run=step, waiting=waiting)


def yardstick_streaming(settings: Settings) -> Workload:
    """One frame, in float32, without gradients."""
    model = PlainSavi().eval().to(settings.device)
    frames = rendered_clips(1, 16).to(settings.device)
    state: dict[str, Tensor | None] = {"slots": None}

    @torch.inference_mode()
    def step() -> None:
        for index in range(frames.shape[1]):
            state["slots"], _, _ = model.step(state["slots"], frames[:, index])

    return Workload(frames=frames.shape[1], dtype=torch.float32, run=step)


def demo_streaming(settings: Settings) -> Workload:
    """One frame after the other through `SlotModel.step`, as a live picture comes."""
    model = build_model(load_config(ROOT / "configs/demo.yaml")).eval().to(settings.device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = rendered_clips(1, 16).to(settings.device)
    state = {"now": model.start()}

    @torch.inference_mode()
    def step() -> None:
        for index in range(frames.shape[1]):
            state["now"], _ = model.step(state["now"], frames[:, index])

    return Workload(frames=frames.shape[1], dtype=torch.float32, run=step)


def our_attention(settings: Settings) -> Workload:
    """Slot attention alone, forward and backward, in the precision that training would choose."""
    torch.manual_seed(0)
    module = SlotAttention(slot_dim=TOKENS[2], feature_dim=TOKENS[2], num_iterations_first=NUM_ITERATIONS)
    module = module.to(settings.device)
    tokens, slots = _attention_inputs(settings.device)
    side = int(TOKENS[1] ** 0.5)
    colors = torch.zeros(TOKENS[0], 1, 3, side, side, device=settings.device)

    def step() -> None:
        with torch.autocast(settings.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            frame = Features(tokens=tokens[:, None], grid=(side, side), colors=colors)
            placed, _ = module(PlacedSlots(slots=slots), module.prepare(frame), is_first=True)
        placed.slots.sum().backward()
        tokens.grad = slots.grad = None
        module.zero_grad(set_to_none=True)

    return Workload(frames=TOKENS[0], dtype=_DTYPES[settings.precision], run=step)


def their_attention(settings: Settings) -> Workload:
    """The package `slot-attention` on the same input, in float32 as it comes."""
    from slot_attention import SlotAttention as TheirSlotAttention

    torch.manual_seed(0)
    module = TheirSlotAttention(NUM_SLOTS, TOKENS[2], iters=NUM_ITERATIONS).to(settings.device)
    tokens, _ = _attention_inputs(settings.device)

    def step() -> None:
        module(tokens).sum().backward()
        tokens.grad = None
        module.zero_grad(set_to_none=True)

    return Workload(frames=TOKENS[0], dtype=torch.float32, run=step)


def _attention_inputs(device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(TOKENS, generator=generator).to(device).requires_grad_()
    slots = torch.randn(TOKENS[0], NUM_SLOTS, TOKENS[2], generator=generator).to(device).requires_grad_()
    return tokens, slots


def rendering(settings: Settings) -> Workload:
    """Built-in scenes of 64 x 64 with masks, physics included; runs on one core, whatever the number of threads."""
    family, seed = find_family("plain"), iter(range(1, 1 << 30))

    def render() -> None:
        render_video(family, seed=next(seed), num_frames=16, size=SIZE, num_samples=2)

    return Workload(frames=16, dtype=torch.float32, run=render)


def batched_rendering(settings: Settings) -> Workload:
    """Clips of many built-in scenes rendered together in torch, on the device; physics is done before."""
    return _drawing(settings.device)


def numpy_rendering(settings: Settings) -> Workload:
    """The same clips by NumPy, one after the other on one core."""
    return _drawing(None)


def _drawing(device: torch.device | None) -> Workload:
    family = find_family("plain")
    scenes = [sample_scene(family, seed=seed, num_frames=16) for seed in range(NUM_DRAWN)]

    def draw() -> None:
        draw_clips(scenes, starts=[0] * len(scenes), num_frames=16, size=SIZE, device=device)

    return Workload(frames=16 * len(scenes), dtype=torch.float32, run=draw)
