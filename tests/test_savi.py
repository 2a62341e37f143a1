"""SAVi and SAVi++ from their shipped configs: as large as the authors' code; made small, they learn and stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from weight_counts import convolution, linear, norm

from slotkeeper.build import build_losses, build_model, load_model
from slotkeeper.cli import main
from slotkeeper.config import Config, load_config
from slotkeeper.data import start_from_segments
from slotkeeper.model import SlotModel
from slotkeeper.nn.colors import flow_colors
from slotkeeper.nn.recompute import judge_by_frame
from slotkeeper.types import Clip, GivenStart

FOLDER = Path(__file__).parents[1] / "configs" / "systems"
SIDE, NUM_SLOTS = 16, 3
SMALL = [
    f"data.size=[{SIDE},{SIDE}]",
    f"model.num_slots={NUM_SLOTS}",
    "model.slot_dim=32",
    "model.encoder.width=16",
    "model.predictor.hidden_dim=32",
    "model.decoder.width=16",
    "model.decoder.num_doublings=2",
    "losses.0.weight=1",
]
SMALLER = {
    "savi_small_flow": ["model.encoder.num_layers=2"],
    "savi_small_conditional": ["model.encoder.num_layers=2", "model.initializer.hidden_dim=32"],
    "savi_plus_plus": [
        "model.encoder.num_blocks=[1,1]",
        "model.encoder.num_layers=1",
        "model.encoder.attention_dim=16",
        "model.encoder.hidden_dim=32",
        "model.initializer.hidden_dim=32",
        "model.corrector.attention_dim=48",
        "model.predictor.attention_dim=48",
        "losses.1.weight=1",
    ],
}


def small(name: str, *changes: str) -> Config:
    """The shipped config with every width made small; names, targets and iterations stay."""
    return load_config(FOLDER / f"{name}.yaml", [*SMALL, *SMALLER[name], *changes])


def squares(num_videos: int = 3, time: int = 2) -> Clip:
    """A red square that goes right and is near, and a blue one that goes left, each at a place of its own."""
    generator = np.random.default_rng(0)
    shape = (num_videos, time)
    frames = np.full((*shape, 3, SIDE, SIDE), 0.2, np.float32)
    segments = np.zeros((*shape, SIDE, SIDE), np.int64)
    flow = np.zeros((*shape, 2, SIDE, SIDE), np.float32)
    depth = np.full((*shape, 1, SIDE, SIDE), 9, np.float32)
    for video in range(num_videos):
        for label, color, speed, top, near in ((1, (0.9, 0.1, 0.1), 1, 0, 3), (2, (0.1, 0.2, 0.9), -1, 8, 5)):
            row, column = top + generator.integers(3), (5 if speed < 0 else 1) + generator.integers(5)
            for index in range(time):
                left = column + speed * index
                here = (video, index, slice(None), slice(row, row + 5), slice(left, left + 5))
                frames[here] = np.array(color)[:, None, None]
                flow[here] = np.array([speed, 0])[:, None, None]
                depth[here] = near
                segments[here[:2] + here[3:]] = label
    return Clip(
        frames=torch.from_numpy(frames),
        times=torch.zeros(*shape),
        segments=torch.from_numpy(segments),
        flow=torch.from_numpy(flow),
        depth=torch.from_numpy(depth),
    )


def start_of(model: SlotModel, clip: Clip) -> GivenStart | None:
    assert clip.segments is not None
    return start_from_segments(clip.segments[:, 0], NUM_SLOTS - 1) if model.initializer.needs_start else None


def learn(config: Config, clip: Clip, *, steps: int, lr: float) -> list[float]:
    """The loss of each of some steps on one batch."""
    model = build_model(config).train()
    losses = build_losses(config, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    given, curve = start_of(model, clip), []
    for number in range(steps):
        output = model(clip.frames, torch.Generator().manual_seed(number), given=given)
        loss = torch.stack([weight * loss(clip, output, progress=0.0) for _, weight, loss in losses]).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        curve.append(loss.item())
    return curve


def error_at_rest(clip: Clip, target: str) -> float:
    """Of a guess that nothing moves, which is white, and that all is equally far."""
    assert clip.flow is not None
    assert clip.depth is not None
    still = (1 - flow_colors(clip.flow, 0.02)).square().mean()
    flat = clip.depth.log1p().var(correction=0)
    return float(still + (flat if "depth" in target else 0))


@pytest.mark.parametrize("name", SMALLER)
def test_a_system_learns_that_things_move_and_how_far_they_are(name: str):
    clip, target = squares(), small(name).model.decoder.settings["target"]
    light = f"model.decoder={{name: broadcast_light, width: 64, target: {target}}}"  # draws and learns faster
    curve = learn(small(name, light), clip, steps=70, lr=1e-2)
    assert sum(curve[-3:]) / 3 < 0.9 * error_at_rest(clip, target) < curve[0]


@pytest.mark.parametrize("name", SMALLER)
def test_a_stream_from_a_start_equals_the_clip(name: str):
    model, clip = build_model(small(name)).eval(), squares(num_videos=2, time=4)
    with torch.no_grad():
        whole = model(clip.frames, given=start_of(model, clip))
        state = model.start(start_of(model, clip))
        for index in range(clip.frames.shape[1]):
            state, output = model.step(state, clip.frames[:, index])
            for part in ("masks", "reconstruction"):
                streamed, at_once = getattr(output.decoded, part)[:, 0], getattr(whole.decoded, part)[:, index]
                torch.testing.assert_close(streamed, at_once, rtol=1e-4, atol=1e-5)
    for _, _, loss in build_losses(small(name), model):
        torch.testing.assert_close(judge_by_frame(loss, clip, whole, 0.0), loss(clip, whole, progress=0.0))


def test_the_command_trains_on_rendered_flow_and_depth_and_tracks_from_boxes(tmp_path: Path):
    settings = [
        *SMALL,
        *SMALLER["savi_plus_plus"],
        f"data.path={tmp_path / 'scenes'}",
        "data.scenes={family: plain, num_train: 2, num_val: 1, num_frames: 4, size: 16}",
        "training.steps=2",
        "training.clip_length=2",
        "training.batch_size=2",
        "training.precision=fp32",
        "model.num_slots=6",
    ]
    run = tmp_path / "run"
    config = str(FOLDER / "savi_plus_plus.yaml")
    assert main(["train", config, "--out", str(run), "--set", *settings]) == 0
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged[-1]["loss/flow_reconstruction"] > 0 < logged[-1]["loss/depth_reconstruction"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["psnr"] is None
    assert metrics["protocol"]["conditioning"].startswith("boxes")
    assert load_model(run).model.decoder.target == "flow_and_depth"
    (video,) = (tmp_path / "scenes").glob("*/val-*/*/video.mp4")
    start = tmp_path / "start.json"
    start.write_text(json.dumps({"boxes": [[1, 1, 8, 8], [8, 8, 15, 15]]}))
    tracked = ["track", str(video), "--model", str(run), "--start", str(start), "--out", str(tmp_path / "tracks")]
    assert main([*tracked, "--quiet"]) == 0
    assert len(list((tmp_path / "tracks").rglob("overlay.mp4"))) == 1


def resnet_34() -> int:
    """Without the classifier; the first convolution is 3x3."""
    total, before = convolution(3, 64, 3, bias=False) + norm(64), 64
    for stage, num_blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(num_blocks):
            total += (
                convolution(before, width, 3, bias=False) + convolution(width, width, 3, bias=False) + 2 * norm(width)
            )
            if block == 0 and before != width:
                total += convolution(before, width, 1, bias=False) + norm(width)
            before = width
    return total


def block(width: int, attention: int, hidden: int) -> int:
    """A transformer block with biases."""
    return 2 * norm(width) + linear(width, 3 * attention) + linear(attention, width) + linear(width, hidden, width)


def corrector(token: int, slot: int, attention: int) -> int:
    """A GRU of flax has four biases: one for each input, and one for the hidden candidate."""
    gru = 3 * attention * slot + 3 * slot * slot + 4 * slot
    return norm(token) + norm(slot) + slot * attention + 2 * token * attention + gru


def decoder(slot: int, channels: int) -> int:
    return linear(2, slot) + convolution(slot, 64, 5) + 3 * convolution(64, 64, 5) + linear(64, channels + 1)


SMALL_ENCODER = convolution(3, 32, 5) + 3 * convolution(32, 32, 5) + linear(2, 32) + norm(32) + linear(32, 64, 32)
AUTHORS = {
    "savi_small_conditional": {
        "encoder": SMALL_ENCODER,
        "initializer": linear(4, 256, 128),
        "corrector": corrector(32, 128, 128),
        "predictor": block(128, 128, 256),
        "decoder": decoder(128, 3),
    },
    "savi_small_flow": {
        "encoder": SMALL_ENCODER,
        "initializer": 7 * 128,
        "corrector": corrector(32, 128, 128),
        "predictor": block(128, 128, 256),
        "decoder": decoder(128, 3),
    },
    "savi_plus_plus": {
        "encoder": resnet_34() + linear(2, 512) + norm(512) + linear(512, 64, 512) + 4 * block(512, 64, 1024),
        "initializer": linear(4, 256, 128),
        "corrector": corrector(512, 128, 256),
        "predictor": block(128, 256, 1024),
        "decoder": decoder(128, 4),
    },
}
"""Trained numbers by the shapes in google-research/slot-attention-video, without its fixed grids of positions."""


@pytest.mark.parametrize("name", AUTHORS)
def test_every_part_has_the_authors_number_of_parameters(name: str):
    config = load_config(FOLDER / f"{name}.yaml")
    model = build_model(config)
    own = {part: sum(p.numel() for p in module.parameters()) for part, module in model.named_children()}
    expected = dict(AUTHORS[name])
    expected["corrector"] += 2 * config.model.slot_dim  # torch's GRU has two biases more for each number of its state
    if config.model.initializer.name == "conditional":  # learned vectors for the background and for spare slots
        expected["initializer"] += config.model.num_slots * config.model.slot_dim
    assert own == expected


def test_the_authors_conditional_model_has_as_many_as_a_port_of_it_counts():
    grids = 64 * 64 * 2 + 8 * 8 * 2
    assert sum(AUTHORS["savi_small_conditional"].values()) + grids == 895_268  # junkeun-yi/SAVi-pytorch
