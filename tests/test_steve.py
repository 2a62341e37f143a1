"""STEVE as a whole: it learns on built-in scenes, its masks say something, streams equal clips, and it has its size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.grid import grid_segments
from torch import Tensor
from weight_counts import convolution, linear, norm

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import ComponentConfig, Config, load_config
from slotkeeper.masks import segments_from_masks
from slotkeeper.model import SlotModel
from slotkeeper.scenes.render import render_video
from slotkeeper.scoring import score_video
from slotkeeper.training.step import TrainingStep

FOLDER = Path(__file__).parents[1] / "configs" / "systems"
NUM_VIDEOS, TIME, SIDE, STEPS = 4, 4, 32, 40


def tiny() -> Config:
    """The small config with every width made smaller."""
    config = load_config(FOLDER / "steve_small.yaml")
    model = config.model
    decoder = {"num_codes": 32, "width": 16, "num_blocks": 1, "num_heads": 2, "code_grid": [4, 4], "dvae_width": 8}
    return replace(
        config,
        model=replace(
            model,
            slot_dim=16,
            encoder=ComponentConfig(name="cnn", settings={"width": 16, "feature_dim": 16, "num_blocks": 1}),
            decoder=replace(model.decoder, settings=model.decoder.settings | decoder),
        ),
        losses=[replace(loss, settings={"width": 8} if loss.name == "dvae" else {}) for loss in config.losses],
    )


@pytest.fixture(scope="module")
def scenes() -> tuple[Tensor, np.ndarray]:
    """Videos as `b t 3 h w` and their true labels `b t h w`."""
    videos = [render_video("plain", seed=seed, num_frames=TIME, size=SIDE, num_samples=1) for seed in range(NUM_VIDEOS)]
    frames = torch.from_numpy(np.stack([video.frames for video in videos])).permute(0, 1, 4, 2, 3).float() / 255
    return frames, np.stack([video.segments for video in videos])


@pytest.fixture(scope="module")
def learned(scenes: tuple[Tensor, np.ndarray]) -> tuple[SlotModel, list[dict[str, float]]]:
    """The model after some steps on these videos, and the losses of each step."""
    frames, _ = scenes
    config = tiny()
    model = build_model(config)
    step = TrainingStep(model, build_losses(config, model)).train()
    optimizer = torch.optim.Adam(step.parameters(), lr=3e-3)
    curve = []
    seen = {"frames": frames[:, :2], "times": torch.zeros(NUM_VIDEOS, 2)}
    for number in range(STEPS):
        values = step(seen, torch.Generator().manual_seed(number), number / STEPS)
        optimizer.zero_grad()
        values["loss"].backward()
        torch.nn.utils.clip_grad_norm_(step.parameters(), 1.0)
        optimizer.step()
        curve.append({name: value.item() for name, value in values.items()})
    return model.eval(), curve


def test_both_losses_fall(learned: tuple[SlotModel, list[dict[str, float]]]):
    _, curve = learned
    for name, share in (("loss/code_likelihood", 0.97), ("loss/dvae", 0.2)):
        assert sum(values[name] for values in curve[-3:]) < share * sum(values[name] for values in curve[:3]), name


def test_masks_are_better_than_blocks(
    scenes: tuple[Tensor, np.ndarray], learned: tuple[SlotModel, list[dict[str, float]]]
):
    """So soon that is the doing of the start, which tells the first frame's regions apart."""
    (frames, truth), (model, _) = scenes, learned
    with torch.no_grad():
        slots = segments_from_masks(model(frames).decoded.masks, (SIDE, SIDE)).numpy()
    scores = {"slots": [], "blocks": []}
    for video, true in enumerate(truth):
        blocks = grid_segments(TIME, (SIDE, SIDE), model.num_slots)
        for kind, guess in (("slots", slots[video]), ("blocks", blocks)):
            scores[kind].append(score_video(guess, true, is_background_known=False))
    for name in ("video_fg_ari", "video_miou"):
        of_slots, of_blocks = (np.mean([getattr(video, name) for video in scores[kind]]) for kind in scores)
        assert of_slots > of_blocks, name


def test_a_stream_equals_the_clip(scenes: tuple[Tensor, np.ndarray], learned: tuple[SlotModel, list[dict[str, float]]]):
    (frames, _), (model, _) = scenes, learned
    with torch.no_grad():
        whole = model(frames).decoded.masks
        state = model.start()
        for index in range(TIME):
            state, output = model.step(state, frames[:, index])
            torch.testing.assert_close(output.decoded.masks[:, 0], whole[:, index], rtol=1e-4, atol=1e-5)


def size_in_the_authors_code(*, num_codes: int = 4096, width: int = 192, blocks: int = 8, side: int = 128) -> int:
    """Trained numbers in the modules of the published code, by their shapes."""
    finds_codes = convolution(3, 64, 4) + 6 * convolution(64, 64, 1) + convolution(64, num_codes, 1)
    doubles = convolution(64, 64, 3) + 2 * convolution(64, 64, 1) + convolution(64, 256, 1)
    paints = convolution(num_codes, 64, 1) + 2 * doubles + convolution(64, 3, 1)
    convolutions = convolution(3, 64, 5) + 2 * convolution(64, 64, 5) + convolution(64, width, 5)
    encoder = convolutions + linear(4, width) + norm(width) + linear(width, width, width)
    attention = 4 * linear(width, width, bias=False)
    hidden = linear(width, 4 * width, width)
    gru = 2 * linear(width, 3 * width)
    slots = 2 * width + 3 * norm(width) + 3 * width**2 + gru + linear(width, width, width)
    predictor = 2 * norm(width) + attention + hidden + norm(width)
    decoder = num_codes * width + width + (1 + (side // 4) ** 2) * width + width * num_codes
    decoder += blocks * (3 * norm(width) + 2 * attention + hidden) + norm(width)
    return finds_codes + paints + encoder + slots + predictor + width**2 + decoder


def test_the_shipped_config_has_the_size_of_the_authors_model():
    config = load_config(FOLDER / "steve.yaml")
    model = build_model(config)
    modules = [model, *(loss for _, _, loss in build_losses(config, model))]
    size = sum(parameter.numel() for module in modules for parameter in module.parameters())
    biases_of_the_predictor, positions_in_reverse, place_after_the_last_code = 4 * 192, 2 * 192, 192
    authors = size_in_the_authors_code()
    assert authors == 8_668_803
    assert size == authors + biases_of_the_predictor - positions_in_reverse - place_after_the_last_code
