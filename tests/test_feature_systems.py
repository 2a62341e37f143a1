"""Systems on pretrained features: each shipped config, made small, learns, streams, and has the authors' layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.grid import grid_segments
from benchmarks.random_vit import main as save_random_vit
from color_model import BLUE, GREEN, RED, WHITE, YELLOW, draw_squares
from torch import Tensor
from weight_counts import linear, norm

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import ComponentConfig, Config, LossConfig, load_config
from slotkeeper.masks import segments_from_masks
from slotkeeper.model import SlotModel
from slotkeeper.scoring import score_video
from slotkeeper.training.step import TrainingStep

FOLDER = Path(__file__).parents[1] / "configs" / "systems"
SYSTEMS = ["dinosaur", "videosaur", "slot_contrast_dino", "smooth_sa_dino", "randsf_q_dino"]
PATCHES = {
    "facebook/dino-vits8": (8, 384),
    "facebook/dino-vitb16": (16, 768),
    "facebook/dinov2-small": (14, 384),
    "facebook/dinov2-with-registers-small": (14, 384),
}
"""Pixels of a patch, and width, of the networks that the configs name."""
SIDE, TIME = 32, 4


def changed(part: ComponentConfig, **settings: Any) -> ComponentConfig:
    """With these settings, as far as the config gives them."""
    return replace(part, settings=part.settings | {k: v for k, v in settings.items() if k in part.settings})


def on(config: Config, encoder: ComponentConfig, **model: Any) -> Config:
    return replace(config, model=replace(config.model, encoder=encoder, **model))


def small(name: str) -> Config:
    """Every width of a config made small, on features of patches; names, losses and iterations stay."""
    config = load_config(FOLDER / f"{name}.yaml")
    model = config.model
    return on(
        config,
        ComponentConfig(name="tiny_backbone:TinyBackbone", settings={"stride": 4, "width": 24}),
        num_slots=4,
        slot_dim=16,
        initializer=changed(model.initializer, hidden_dim=16),
        corrector=changed(model.corrector, hidden_dim=16),
        predictor=changed(model.predictor, hidden_dim=16),
        decoder=changed(model.decoder, grid=[SIDE // 4, SIDE // 4], hidden_dim=64, num_layers=2),
    )


def squares(time: int = TIME) -> Tensor:
    """Two videos of three moving squares as `b t 3 h w`."""
    frames = [
        draw_squares(
            [
                (RED, 10, lambda now, start=start: (2 + start + now, 3)),
                (BLUE, 12, lambda now, start=start: (18 - now, 4 + start)),
                (GREEN, 9, lambda now, start=start: (3 + now, 20 - start)),
            ],
            num_frames=time,
            size=(SIDE, SIDE),
        )
        for start in (0, 2)
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3).float() / 255


def learn(config: Config, batch_at: Callable[[int], Tensor], *, steps: int, lr: float) -> tuple[SlotModel, list[float]]:
    """A model after some steps, each on its batch, and each step's error of the rebuilt features."""
    model = build_model(config)
    step = TrainingStep(model, build_losses(config, model)).train()
    optimizer = torch.optim.Adam([p for p in step.parameters() if p.requires_grad], lr=lr)
    curve = []
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        frames = batch_at(number)
        values = step({"frames": frames, "times": torch.zeros(frames.shape[:2])}, generator, number / steps)
        optimizer.zero_grad()
        values["loss"].backward()
        torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
        optimizer.step()
        curve.append(values["loss/feature_reconstruction"].item())
    return model.eval(), curve


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_learns_and_its_stream_equals_the_clip(name: str):
    frames = squares()
    model, curve = learn(small(name), lambda _: frames, steps=12, lr=1e-2)
    assert sum(curve[-3:]) < 0.9 * sum(curve[:3])
    with torch.no_grad():
        whole = model(frames)
        state = model.start()
        for index in range(TIME):
            state, output = model.step(state, frames[:, index])
            torch.testing.assert_close(output.decoded.masks[:, 0], whole.decoded.masks[:, index], rtol=1e-4, atol=1e-5)


def slot_attention(width: int, hidden: int | None) -> int:
    """Norms of tokens and slots, three projections without bias, a GRU, and a pre-norm MLP where there is one."""
    gru = 2 * linear(width, 3 * width)
    mlp = norm(width) + linear(width, hidden, width) if hidden else 0
    return 2 * norm(width) + 3 * width**2 + gru + mlp


def transformer(width: int) -> int:
    """A pre-norm block with biases and an MLP four times as wide."""
    return 2 * norm(width) + linear(width, 3 * width) + linear(width, width) + linear(width, 4 * width, width)


AUTHORS = {
    "dinosaur": {
        "encoder": norm(384) + linear(384, 384, 128),
        "initializer": 2 * 128,
        "corrector": slot_attention(128, 512),
        "predictor": 0,
        "decoder": 784 * 128 + linear(128, 1024, 1024, 1024, 385),
    },
    "videosaur": {
        "encoder": norm(768) + linear(768, 1536, 64),
        "initializer": 2 * 64,
        "corrector": slot_attention(64, None),
        "predictor": transformer(64),
        "decoder": 196 * 64
        + 3 * transformer(64)
        + 3 * norm(64)
        + 2 * 64**2
        + linear(64, 1024, 1024, 1024)
        + linear(1024, 768 + 196),
    },
    "slot_contrast_dino": {
        "encoder": norm(384) + linear(384, 768, 64),
        "initializer": 11 * 64,
        "corrector": slot_attention(64, 256),
        "predictor": transformer(64),
        "decoder": 576 * 64 + linear(64, 1024, 1024, 1024, 385),
    },
}
"""Trained numbers of each part, counted from the layers of the authors' released configurations."""


@pytest.mark.parametrize("name", AUTHORS)
def test_a_system_has_as_many_weights_as_the_authors_layers(name: str):
    config = load_config(FOLDER / f"{name}.yaml")
    encoder = config.model.encoder
    patch, width = PATCHES[encoder.settings["weights"]]
    own = {key: value for key, value in encoder.settings.items() if key != "weights"}
    fake = ComponentConfig(name="tiny_backbone:TinyBackbone", settings=own | {"stride": patch, "width": width})
    model = build_model(on(config, fake))
    counted = {
        part: sum(p.numel() for p in getattr(model, part).parameters() if p.requires_grad) for part in AUTHORS[name]
    }
    assert counted == AUTHORS[name]


@pytest.mark.parametrize("name", SYSTEMS)
def test_positions_are_learned_for_the_tokens_that_training_has(name: str):
    config = load_config(FOLDER / f"{name}.yaml")
    patch, _ = PATCHES[config.model.encoder.settings["weights"]]
    assert config.model.decoder.settings["grid"] == [side // patch for side in config.data.size]


def random_squares(num_videos: int, time: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """Three squares of different colours anywhere on grey, in slow motion; later ones hide earlier ones."""
    draw = np.random.default_rng(seed)
    frames = np.full((num_videos, time, SIDE, SIDE, 3), 90, np.uint8)
    labels = np.zeros((num_videos, time, SIDE, SIDE), np.uint8)
    for video in range(num_videos):
        for label, color in enumerate(draw.permutation([RED, GREEN, BLUE, YELLOW, WHITE])[:3], start=1):
            side = draw.integers(8, 14)
            start, speed = draw.uniform(0, SIDE - side, 2), draw.uniform(-1.5, 1.5, 2)
            for now in range(time):
                row, column = np.clip(start + now * speed, 0, SIDE - side).astype(int)
                frames[video, now, row : row + side, column : column + side] = color
                labels[video, now, row : row + side, column : column + side] = label
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255, labels


def mean_miou(segments: np.ndarray, labels: np.ndarray) -> float:
    scores = [score_video(guess, true, is_background_known=False) for guess, true in zip(segments, labels, strict=True)]
    return float(np.mean([score.video_miou for score in scores]))


def mious(model: SlotModel, config: Config) -> tuple[float, float, float]:
    """Mean video mIoU of 12 unseen videos: the model's, the same before training, and that of a grid."""
    frames, labels = random_squares(12, TIME, seed=10**6)

    def of(model: SlotModel) -> float:
        with torch.no_grad():
            masks = model.eval()(frames).decoded.masks
        return mean_miou(segments_from_masks(masks, (SIDE, SIDE)).numpy(), labels)

    blocks = grid_segments(TIME, (SIDE, SIDE), config.model.num_slots)
    learned, untrained = of(model), of(build_model(config))
    grid = mean_miou(np.broadcast_to(blocks, labels.shape), labels)
    print(f"\nvideo mIoU {learned:.3f}, untrained {untrained:.3f}, of a grid {grid:.3f}")
    return learned, untrained, grid


RECONSTRUCTION = LossConfig(name="feature_reconstruction", settings={"is_normalized": True})
SIMILARITY = LossConfig(name="feature_similarity", weight=0.1, settings={"temperature": 0.075})


@pytest.mark.parametrize(
    ("name", "losses"),
    [("slot_contrast_dino", [RECONSTRUCTION]), ("videosaur", [RECONSTRUCTION, SIMILARITY])],
    ids=["patch_mlp", "slot_mixer"],
)
def test_rebuilding_the_packaged_networks_features_gives_masks_of_unseen_videos_that_beat_a_grid(
    name: str, losses: list[LossConfig]
):
    """The start does it, which tells regions of the first frame apart: the untrained model has more, see the print."""
    config = small(name)
    corrector, decoder = changed(config.model.corrector, hidden_dim=32), config.model.decoder
    placed = {"epsilon": 1.0, "window": [0.12, 0.19], "strictness": 20.0}
    config = on(
        replace(config, losses=losses),
        ComponentConfig(name="cnn_pretrained", settings={"stride": 4, "feature_dim": 32}),
        slot_dim=32,
        initializer=ComponentConfig(name="first_frame"),
        corrector=replace(corrector, settings=corrector.settings | placed),
        predictor=ComponentConfig(name="identity"),
        decoder=replace(decoder, settings=decoder.settings | {"attention_weight": 1.0}),
    )
    model, curve = learn(config, lambda step: random_squares(8, 2, step)[0], steps=80, lr=4e-3)
    learned, _, grid = mious(model, config)
    assert curve[-1] < 0.6 * curve[0]
    assert learned > grid + 0.1


@pytest.fixture(scope="module")
def random_vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("random") / "vit")
    save_random_vit(folder)
    return folder


CONTRAST = LossConfig(name="slot_contrast", weight=0.5, settings={"temperature": 0.1})
PREHEAT = LossConfig(name="preheat")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "losses", "steps", "lr"),
    [
        ("slot_contrast_dino", [RECONSTRUCTION, CONTRAST], 150, 4e-3),
        ("smooth_sa_dino", [RECONSTRUCTION, CONTRAST, PREHEAT], 500, 2e-3),
        ("randsf_q_dino", [RECONSTRUCTION, CONTRAST], 200, 4e-3),
    ],
)
def test_a_system_with_its_own_start_learns_to_tell_things_apart_where_features_do(
    name: str, losses: list[LossConfig], steps: int, lr: float, random_vit: str
):
    """On a transformer of random weights, whose tokens still hold the colours of their places."""
    config = small(name)
    model, decoder = config.model, config.model.decoder
    config = on(
        replace(config, losses=losses),
        ComponentConfig(name="vit", settings={"weights": random_vit, "feature_dim": 32, "has_positions": True}),
        slot_dim=32,
        initializer=changed(model.initializer, hidden_dim=32),
        corrector=changed(model.corrector, hidden_dim=32),
        predictor=changed(model.predictor, hidden_dim=32),
        decoder=replace(decoder, settings=decoder.settings | {"attention_weight": 1.0}),
    )
    trained, curve = learn(config, lambda step: random_squares(8, 2, step)[0], steps=steps, lr=lr)
    learned, untrained, grid = mious(trained, config)
    assert curve[-1] < 0.5 * curve[0]
    assert learned > max(grid, untrained) + 0.03
