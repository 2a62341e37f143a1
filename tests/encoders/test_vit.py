"""Vision transformers as backbones: the library's own tokens, at any size, from folders that may be anything."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_vits import KINDS, NUM_LAYERS, PATCH, WIDTH, tiny_model, tiny_vit

from slotkeeper.encoders.vit import VitEncoder
from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.nn import vit_folder, weight_limit
from slotkeeper.nn.weight_limit import WeightLimit

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
GRID = (3, 5)


def frames(seed: int = 0) -> torch.Tensor:
    """Not of the size that the networks were made for, and not square."""
    size = (GRID[0] * PATCH, GRID[1] * PATCH)
    return torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(seed))


def tokens_of(weights: Path, **settings: Any) -> torch.Tensor:
    targets, grid = VitEncoder(weights=str(weights), **settings).targets_of(frames())
    assert grid == GRID
    return targets[:, 0]


def library_tokens(kind: str, layer: int | None = None) -> torch.Tensor:
    """Of the library's own model, after its last norm, or of a layer before it."""
    model = tiny_model(kind)
    pictures = (frames()[:, 0] - MEAN[:, None, None]) / DEVIATION[:, None, None]
    settings = {"interpolate_pos_encoding": True} if kind in ("vit", "vit_mae") else {}
    if kind == "vit_mae":
        model = model.vit
        model.config.mask_ratio = 0.0
    with torch.no_grad():
        seen = model(pictures, output_hidden_states=True, **settings)
    tokens = seen.last_hidden_state if layer is None else seen.hidden_states[layer]
    patches = tokens[:, -GRID[0] * GRID[1] :]
    if kind == "vit_mae":  # it has shuffled them
        patches = patches.gather(1, seen.ids_restore[..., None].expand(-1, -1, WIDTH))
    return patches


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_the_librarys_patches_in_order_at_any_size(kind: str):
    torch.testing.assert_close(tokens_of(tiny_vit(kind), has_norm=True), library_tokens(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_layer_is_the_librarys_too(kind: str):
    torch.testing.assert_close(tokens_of(tiny_vit(kind), layer=2), library_tokens(kind, layer=2))


def test_what_lies_above_the_layer_is_not_even_read(tmp_path: Path):
    folder = shutil.copytree(tiny_vit("vit_mae"), tmp_path / "cut")
    path = folder / "model.safetensors"
    above = ("vit.encoder.layer.2.", "decoder.")
    weights = {name: value for name, value in load_file(path).items() if not name.startswith(above)}
    save_file(weights, path)
    assert torch.equal(tokens_of(folder, layer=2), tokens_of(tiny_vit("vit_mae"), layer=2))
    with pytest.raises(CheckpointError, match=r"doesn't hold the whole MAE .*: layers.2.* are missing"):
        tokens_of(folder)


def test_nothing_is_masked_and_nothing_is_random():
    before = torch.random.get_rng_state()
    first = VitEncoder(weights=str(tiny_vit("vit_mae")), feature_dim=4).train()
    assert torch.equal(first.targets_of(frames())[0], first.targets_of(frames())[0])
    first.eval()
    drawn = torch.random.get_rng_state()
    first.targets_of(frames())
    assert torch.equal(torch.random.get_rng_state(), drawn)
    torch.random.set_rng_state(before)


def test_a_folder_is_read_without_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    tokens_of(tiny_vit())


def test_a_folder_in_parts_and_in_half_precision(tmp_path: Path):
    tiny_model("dinov2").half().save_pretrained(tmp_path / "parts", max_shard_size="10KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    tokens = tokens_of(tmp_path / "parts")
    assert tokens.dtype == torch.float32
    torch.testing.assert_close(tokens, tokens_of(tiny_vit()), rtol=0.02, atol=0.02)


def test_what_a_config_says_beside_the_networks_shape_is_left_alone(tmp_path: Path):
    folder = shutil.copytree(tiny_vit(), tmp_path / "model")
    edit_config(
        auto_map={"AutoModel": "evil--evil.Model"},
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
        _attn_implementation="somebody/kernels",
        attention_probs_dropout_prob=0.9,
        dtype="float16",
    )(folder)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    assert torch.equal(tokens_of(folder), tokens_of(tiny_vit()))


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in (config | changes).items() if value != "gone"}))

    return edit


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def foreign_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')


DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (edit_config(model_type="resnet"), "holds a model of the type 'resnet'; expected one of vit, dinov2"),
    (edit_config(model_type=["vit"]), r"holds a model of the type \['vit'\]"),
    (edit_config(patch_size=0), "patch_size must be from 1 to 65536, got 0"),
    (edit_config(hidden_size="wide"), "hidden_size must be from 1 to 65536, got 'wide'"),
    (edit_config(num_attention_heads="gone"), "doesn't say num_attention_heads"),
    (edit_config(num_attention_heads=3), "doesn't hold "),
    (edit_config(num_channels=4), "other channels than red, green and blue"),
    (edit_config(hidden_size=2 * WIDTH), "embeddings.cls_token, .* are missing or of another shape"),
    (edit_config(hidden_act="nothing"), "doesn't hold a DINOv2 as its config.json describes it"),
    (edit_config(num_hidden_layers=NUM_LAYERS + 1), "describes: encoder.layer.3.*, .* are missing"),
    (lambda folder: (folder / "config.json").write_text("[]"), "expected an object, got list"),
    (lambda folder: (folder / "config.json").unlink(), "config.json can't be read"),
    (cut_weights, "is truncated or not a safetensors file"),
    (only_pickles, r"has no model.safetensors \(a pickle is not read"),
    (foreign_index, "names the file '../elsewhere.safetensors'"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE, ids=[sentence for _, sentence in DAMAGE])
def test_folders_that_are_broken_or_foreign(damage: Callable[[Path], Any], sentence: str, tmp_path: Path):
    folder = shutil.copytree(tiny_vit(), tmp_path / "model")
    damage(folder)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        tokens_of(folder)
    assert "\n" not in str(caught.value)


def test_too_large_a_network_is_refused_before_memory_is_taken(tmp_path: Path):
    folder = shutil.copytree(tiny_vit(), tmp_path / "model")
    edit_config(hidden_size=2**16)(folder)
    with pytest.raises(ConfigError, match="more than 536870912 weights"), WeightLimit():
        tokens_of(folder)


@pytest.mark.parametrize(("width", "layers", "heads"), [(768, 12, 12), (1024, 24, 16)], ids=["ViT-B", "ViT-L"])
def test_published_networks_are_within_the_limit(width: int, layers: int, heads: int):
    config = transformers.Dinov2Config(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, patch_size=14, image_size=518
    )
    with torch.device("meta"), WeightLimit():
        network = transformers.Dinov2Model(config)
    assert sum(value.numel() for value in network.parameters()) > 7 * layers * width**2


def test_reading_a_network_counts_its_weights_once(monkeypatch: pytest.MonkeyPatch):
    kept = VitEncoder(weights=str(tiny_vit()), is_frozen=False)
    count = sum(value.numel() for value in kept.parameters())
    monkeypatch.setattr(weight_limit, "MAX_NUMBERS", int(1.2 * count))
    with WeightLimit():
        VitEncoder(weights=str(tiny_vit()))


@pytest.mark.parametrize("layer", [0, NUM_LAYERS + 1])
def test_layers_that_are_not_there(layer: int):
    with pytest.raises(ConfigError, match=f"model.encoder.layer must be from 1 to {NUM_LAYERS}, .*, got {layer}"):
        tokens_of(tiny_vit(), layer=layer)


def test_without_weights_or_library_the_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"model.encoder.weights of the vit encoder must name the folder of a DINO"):
        VitEncoder()
    with pytest.raises(ConfigError, match="nowhere is no folder; expected the folder of a DINO"):
        VitEncoder(weights=str(tmp_path / "nowhere"))

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name}")

    monkeypatch.setattr(vit_folder.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'slotkeeper\[backbones\]'"):
        VitEncoder(weights=str(tiny_vit()))


class Hub:
    """A stand-in for the hub's library; `has_network` says whether it can fetch."""

    def __init__(self, *, has_network: bool):
        self.has_network = has_network
        self.fetched: list[str] = []

    def snapshot_download(self, name: str, *, allow_patterns: list[str], local_files_only: bool = False) -> str:
        assert not any("bin" in pattern or ".py" in pattern for pattern in allow_patterns)
        if local_files_only:
            raise FileNotFoundError("not in the cache")
        if not self.has_network:
            raise ConnectionError("no network\nand more lines")
        self.fetched.append(name)
        return str(tiny_vit())


@pytest.mark.parametrize("has_network", [True, False])
def test_a_name_of_the_hub(has_network: bool, monkeypatch: pytest.MonkeyPatch):
    hub, original = Hub(has_network=has_network), vit_folder.import_library
    monkeypatch.setattr(vit_folder, "import_library", lambda name: hub if "hub" in name else original(name))
    if has_network:
        encoder = VitEncoder(weights="somebody/a-model")
        assert hub.fetched == ["somebody/a-model"]
        assert encoder.label == "DINOv2 features (somebody/a-model)"
        return
    with pytest.raises(ConfigError, match=r"hub gives no model of that name \(no network\); download it elsewhere"):
        VitEncoder(weights="somebody/a-model")
