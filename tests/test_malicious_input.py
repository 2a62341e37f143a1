"""Files made to do harm: nothing in them is run, and what they claim is not believed."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from numbered_videos import write_png_header, write_video
from PIL import Image
from small_run import raw_config, small_config

from slotkeeper.build import build_model, load_model
from slotkeeper.checkpoint import write_model
from slotkeeper.cli import main
from slotkeeper.config import parse_config, read_yaml
from slotkeeper.data import VideoReader, load_segments, read_starts
from slotkeeper.errors import CheckpointError, ConfigError, DataError, VideoError

CONFIG = small_config(Path("videos"))


class Payload:
    """Whoever unpickles it leaves a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", build_model(CONFIG).state_dict(), CONFIG)
    return tmp_path / "model"


def test_the_payload_would_run(tmp_path: Path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "owned")))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_code_in_the_place_of_weights_never_runs(model: Path, tmp_path: Path, protocol: int):
    (model / "model.safetensors").write_bytes(pickle.dumps(Payload(tmp_path / "owned"), protocol))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(model)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.ckpt", "weights.bin", "weights"])
def test_pickled_code_given_as_a_model_never_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    torch.save({"weights": Payload(tmp_path / "owned")}, tmp_path / name)
    video = write_video(tmp_path / "a.mp4", 2)
    assert main(["track", str(video), "--model", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert "is a pickle, which could run any code" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists()


def test_pickled_code_in_masks_never_runs(tmp_path: Path):
    np.savez(tmp_path / "masks.npz", masks=np.array([Payload(tmp_path / "owned")], dtype=object))
    with pytest.raises(DataError, match="pickled Python objects, which are never read"):
        load_segments(tmp_path / "masks.npz")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "encoder",
    [
        {"name": "subprocess:Popen", "args": ["touch", "owned"]},
        {"name": "os:system"},
        {"name": "builtins:open", "file": "owned", "mode": "w"},
        {"name": "pathlib:Path"},
        {"name": "slotkeeper.losses.masks:MaskEntropy"},
        {"name": "..escape:Encoder"},
        {"name": ":"},
        {"name": "os:"},
    ],
    ids=lambda encoder: encoder["name"],
)
def test_a_model_that_names_other_code_as_a_component_never_calls_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: dict[str, object]
):
    facts = json.loads((model / "model.json").read_text())
    facts["config"]["model"]["encoder"] = encoder
    (model / "model.json").write_text(json.dumps(facts))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"is no subclass of slotkeeper\.interfaces\.Encoder|is no import path"):
        load_model(model)
    assert not (tmp_path / "owned").exists()


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: !!python/object/apply:os.mkdir [owned]", "tags, anchors and aliases"),
        ("!!python/object/new:os.system ['mkdir owned']", "tags, anchors and aliases"),
        ("seed: !!python/name:os.system", "tags, anchors and aliases"),
        (LAUGHS, "tags, anchors and aliases"),
        ("a: &a {seed: 1}\nb: {<<: *a}", "tags, anchors and aliases"),
        ("<<: {seed: 1}", "merge"),
        ("a: " + "[" * 100_000, "more than 50 sections lie within each other"),
        ("{" * 100_000, "more than 50 sections lie within each other"),
        ("".join(" " * depth + "a:\n" for depth in range(500)), "more than 50 sections lie within each other"),
        ("a: [" + "1," * 90_000 + "]", "is too long: more than 20000 keys, values and marks"),
        ("# " + "x" * 10**6, "1000002 characters; at most 200000 are read as YAML"),
        ("seed: " + "9" * 5000, "is not YAML"),
        ("seed: 0x" + "f" * 5000, "seed is a whole number of more than 64 bits"),
        ("seed: 2024-13-41", "is not YAML: month must be in 1..12"),
        ("a: [" + "1," * 600 + "]", "a has 600 items; at most 500 are taken"),
        ('path: "\\ud800"', "path is no text in Unicode"),
    ],
    ids=lambda value: value[:30].replace("\n", " "),
)
def test_yaml_that_would_run_code_or_take_all_memory(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "hostile.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_json_nested_without_end(model: Path, tmp_path: Path):
    (tmp_path / "start.json").write_text("[" * 10**6)
    with pytest.raises(DataError, match="is not JSON"):
        read_starts(tmp_path / "start.json")
    (model / "model.json").write_text("[" * 10**6)
    with pytest.raises(CheckpointError, match=r"model\.json is damaged"):
        load_model(model)


def test_pictures_that_claim_to_be_huge(tmp_path: Path):
    write_png_header(tmp_path / "frames" / "0.png", 100_000, 100_000)
    with pytest.raises(VideoError, match="claims"):
        VideoReader(tmp_path / "frames")
    with pytest.raises(DataError, match=r"0\.png"):
        load_segments(tmp_path / "frames")
    video = write_video(tmp_path / "huge.gif", 3)
    content = bytearray(video.read_bytes())
    content[6:10] = struct.pack("<HH", 65_535, 65_535)
    video.write_bytes(content)
    with pytest.raises(VideoError, match=r"huge\.gif"):
        VideoReader(video)


def test_many_pictures_that_are_huge_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("slotkeeper.data.segments._MAX_BYTES", 5 * 64 * 64)
    for number in range(6):
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match=r"the masks take .* GB unpacked"):
        load_segments(tmp_path)


def test_a_picture_that_would_start_another_program(tmp_path: Path):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "frames" / "0.png", "EPS")
    with pytest.raises(VideoError, match="is not a readable picture"):
        VideoReader(tmp_path / "frames")
    with pytest.raises(DataError, match="can't be read as a mask"):
        load_segments(tmp_path / "frames")


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.mpd", "list.sdp"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile a.ts\n",
        "ffconcat version 1.0\nfile {name}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["concat", "itself", "playlist", "address", "stream"],
)
def test_a_video_cannot_name_other_files_or_addresses(tmp_path: Path, name: str, text: str):
    write_video(tmp_path / "a.mkv", 3).rename(tmp_path / "a.ts")
    (tmp_path / name).write_text(text.format(name=name))
    with pytest.raises(VideoError, match=r"can't be read as a video: (Invalid argument|Invalid data)"):
        VideoReader(tmp_path / name)


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("data", {"size": [2048, 2048]}, "slot pixels"),
        ("model", {"num_slots": 2_000_000}, "slot pixels"),
        ("training", {"batch_size": 10**6}, "pixels, got 1000000 x"),
        ("training", {"steps": 10**15}, "training.steps must be at most"),
        ("data", {"enlarge": 1e9}, "data.enlarge must be at most 8"),
        ("data", {"cache_gb": float("inf")}, "data.cache_gb must be at most"),
        ("data", {"num_workers": 10**9}, "data.num_workers must be at most"),
        ("model", {"slot_dim": 10**6}, "more than 536870912 weights"),
        ("model", {"encoder": {"name": "cnn", "width": 80_000}}, "more than 536870912 weights"),
        ("model", {"predictor": {"name": "transformer", "hidden_dim": -3}}, "a layer of -3 numbers"),
        ("model", {"corrector": {"name": "slot_attention", "num_iterations_first": 10**9}}, "lie between 1 and 1000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_settings_that_would_take_all_memory_or_for_ever(section: str, change: dict[str, object], expected: str):
    raw = raw_config(Path("videos"))
    raw[section] |= change
    with pytest.raises(ConfigError, match=expected):
        build_model(parse_config(raw, "hostile.yaml"))


def test_a_model_of_layers_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("slotkeeper.nn.weight_limit._MAX_TENSORS", 100)
    raw = raw_config(Path("videos"))
    raw["model"]["encoder"] = {"name": "cnn", "width": 8, "num_blocks": 10**9}
    with pytest.raises(ConfigError, match="more than 100 tensors"):
        build_model(parse_config(raw, "hostile.yaml"))
