"""Encoders on pretrained backbones: what is fixed stays fixed, what is saved, and what may be kept between runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from random_trunks import random_trunk, write_random_weights
from small_run import raw_config, write_squares
from tiny_vits import save_tiny, tiny_model, tiny_vit
from torch.nn import functional

from slotkeeper.build import build_model, load_model
from slotkeeper.checkpoint import find_model, read_model, read_training_state, write_model
from slotkeeper.config import apply_override, parse_config
from slotkeeper.data import find_videos
from slotkeeper.encoders.cnn_pretrained import PretrainedCnnEncoder
from slotkeeper.encoders.pretrained import PretrainedEncoder
from slotkeeper.encoders.vit import VitEncoder
from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.evaluation import evaluate
from slotkeeper.nn.recompute import encode_by_frame
from slotkeeper.training import resume, train

SIZE = (32, 48)


def make(name: str, **settings: Any) -> PretrainedEncoder:
    torch.manual_seed(0)
    if name == "vit":
        return VitEncoder(feature_dim=12, weights=str(tiny_vit()), **settings)
    return PretrainedCnnEncoder(feature_dim=12, **settings)


def video(time: int = 2, size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.rand(2, time, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["vit", "cnn_pretrained"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_frozen_backbone_has_no_gradient_and_is_neither_trained_nor_saved(name: str):
    encoder = make(name).train()
    features, _ = encoder(video())
    assert features.targets is not None
    assert features.targets.dtype == torch.float32
    assert not features.targets.requires_grad
    features.tokens.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    own = {name.split(".")[0] for name, _ in encoder.named_parameters()}
    assert own == {"norm", "head"} | ({"positions"} if encoder.positions is not None else set())
    assert own | {"backbone_hash"} == {name.split(".")[0] for name in encoder.state_dict()}


def test_training_mode_changes_nothing_that_a_backbone_makes(name: str):
    for is_frozen in (True, False):
        encoder = make(name, is_frozen=is_frozen)
        with torch.no_grad():
            before, _ = encoder.eval().targets_of(video())
            after, _ = encoder.train().targets_of(video())
        assert torch.equal(before, after)
        assert not any(part.training for part in encoder.backbone.modules())
        assert encoder.head.training


def test_a_fine_tuned_backbone_learns_is_saved_and_gives_no_targets(name: str):
    encoder = make(name, is_frozen=False).train()
    features, _ = encoder(video())
    assert features.targets is None
    assert encoder.target_dim == 0
    features.tokens.square().sum().backward()
    trained = [p for p in encoder.backbone.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert {f"backbone.{name}" for name, _ in encoder.backbone.named_parameters()} <= encoder.state_dict().keys()


def test_kept_targets_give_the_same_features(name: str):
    encoder = make(name).eval()
    frames = video()
    with torch.no_grad():
        whole, _ = encoder(frames)
        targets, grid = encoder.targets_of(frames)
        kept = encoder.from_targets(targets, grid, frames)
        rounded = encoder.from_targets(targets.bfloat16(), grid, frames)
    assert grid == encoder.grid_of(*SIZE) == whole.grid
    assert torch.equal(kept.tokens, whole.tokens)
    assert rounded.targets is not None
    assert rounded.targets.dtype == torch.float32


def test_colors_lie_on_a_multiple_of_the_grid(name: str):
    encoder = make(name)
    features, _ = encoder(video())
    expected = functional.interpolate(video().flatten(0, 1), features.grid, mode="area")
    seen = functional.interpolate(features.colors.flatten(0, 1), features.grid, mode="area")
    torch.testing.assert_close(seen, expected)
    assert features.colors.shape[-1] >= 2 * features.grid[1]


def test_bf16_runs_through_the_backbone_and_targets_are_float32(name: str):
    encoder = make(name)
    plain, _ = encoder.targets_of(video())
    with torch.autocast("cpu", torch.bfloat16):
        features, _ = encoder(video())
    assert features.targets is not None
    assert features.targets.dtype == torch.float32
    assert not torch.equal(features.targets, plain)
    torch.testing.assert_close(features.targets, plain, rtol=0.1, atol=0.1 * float(plain.std()))


def test_activation_checkpointing_gives_the_same_gradients(name: str):
    encoder = make(name)
    gradients = []
    for is_recomputed in (False, True):
        encoder.zero_grad()
        features, _ = encode_by_frame(encoder, video(), None) if is_recomputed else encoder(video())
        features.tokens.square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_frames_that_no_patch_divides_are_refused(name: str):
    with pytest.raises(ConfigError, match=rf"the {name} encoder needs .* 8 divides, got 36x48; the nearest is 32x48"):
        make(name)(video(size=(36, 48)))


def test_a_fingerprint_tells_backbones_and_settings_apart_and_heads_alike(tmp_path: Path):
    other = tiny_model("dinov2")
    with torch.no_grad():
        other.encoder.layer[0].norm1.bias[0] += 1e-3
    save_tiny(other, tmp_path / "other")
    made = [
        make("vit"),
        make("vit", layer=2),
        make("vit", has_norm=True),
        VitEncoder(weights=str(tmp_path / "other")),
        VitEncoder(weights=str(tiny_vit("vit"))),
        make("cnn_pretrained"),
        make("cnn_pretrained", stride=16),
        make("cnn_pretrained", trunk_weights=str(write_random_weights(tmp_path, "efficientnet_lite0"))),
    ]
    assert len({encoder.fingerprint() for encoder in made}) == len(made)
    torch.manual_seed(5)
    same = VitEncoder(weights=str(tiny_vit()), feature_dim=30, hidden_dim=7, has_positions=True)
    assert same.fingerprint() == made[0].fingerprint()


def test_only_the_layers_that_are_needed_are_there():
    layers = make("vit", layer=2).backbone.network.encoder.layer
    assert len(layers) == 2
    blocks = make("cnn_pretrained", stride=8).backbone.blocks
    assert len(blocks) == 5


@pytest.mark.parametrize(("stride", "width"), [(4, 24), (8, 40), (16, 112), (32, 320)])
def test_efficientnet_is_fed_as_it_was_trained_and_read_at_each_stride(stride: Any, width: int, tmp_path: Path):
    weights = write_random_weights(tmp_path, "efficientnet_lite0")
    encoder = PretrainedCnnEncoder(stride=stride, trunk_weights=str(weights)).eval()
    frames = video(time=1, size=(64, 32))
    targets, grid = encoder.targets_of(frames)
    with torch.no_grad():
        stages = random_trunk("efficientnet_lite0").stages((frames[:, 0] * 255 - 127) / 128)
    expected = {64 // stage.shape[2]: stage for stage in stages}[stride]
    assert targets.shape[3] == encoder.target_dim == width
    torch.testing.assert_close(targets[:, 0].transpose(1, 2).unflatten(2, grid), expected)


def backbone_config(encoder: dict[str, Any], videos: Path = Path("videos"), **training: Any) -> Any:
    raw = raw_config(videos, **training)
    apply_override(raw, f"model.encoder={encoder}")
    apply_override(raw, "model.decoder={name: broadcast, width: 8}")
    return parse_config(raw, "test")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 2)


def settings_of(name: str, **settings: Any) -> dict[str, Any]:
    weights = {"weights": str(tiny_vit())} if name == "vit" else {}
    return {"name": name, "feature_dim": 8} | weights | settings


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_trained_model_is_loaded_with_its_backbone(is_frozen: bool, name: str, videos: Path, tmp_path: Path):
    run = tmp_path / "run"
    train(backbone_config(settings_of(name, is_frozen=is_frozen), videos, steps=2), run, show_progress=False)
    folder = find_model(run)
    for tensors in (read_model(folder)[0], read_training_state(folder).tensors):
        assert any(".backbone." in key for key in tensors) != is_frozen
    model = load_model(run).model
    frames = video(size=(32, 32))
    with torch.no_grad():
        masks = model(frames).decoded.masks
        resume(run, show_progress=False)
        assert torch.equal(load_model(run).model(frames).decoded.masks, masks)
    if is_frozen:
        evaluation = evaluate(model, find_videos(videos), size=(32, 32))
        assert evaluation.scores.protocol.features == model.encoder.label


def test_the_label_says_what_features_a_model_stands_on():
    assert make("cnn_pretrained").label == "ImageNet-supervised features"
    assert re.fullmatch(r"DINOv2 features \(tiny-dinov2-\w+\)", make("vit").label)


def test_another_backbone_than_in_training_is_refused(tmp_path: Path):
    backbone, model = tmp_path / "backbone", tmp_path / "model"
    shutil.copytree(tiny_vit(), backbone)
    config = backbone_config(settings_of("vit", weights=str(backbone)))
    write_model(model, build_model(config).state_dict(), config)
    load_model(model)
    other = tiny_model("dinov2")
    with torch.no_grad():
        other.encoder.layer[0].norm1.bias[0] += 1e-3
    save_tiny(other, backbone)
    with pytest.raises(CheckpointError, match="the model was trained on another backbone than the one"):
        load_model(model)
    shutil.rmtree(backbone)
    with pytest.raises(ConfigError, match=r"model.encoder.weights: .*backbone is no folder; expected"):
        load_model(model)
