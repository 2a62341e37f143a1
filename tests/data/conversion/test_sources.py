"""Each public data set, written small in its true layout, comes out with its frames, masks and other truth."""

from __future__ import annotations

import json
import sys
import types
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from public_sets import (
    FRAMES,
    HEIGHT,
    WIDTH,
    movi_example,
    moving_squares,
    png,
    rle,
    write_cater,
    write_cells,
    write_clevrer,
    write_coco_vis,
    write_davis,
    write_film,
    write_json,
    write_movi,
    write_palette_masks,
    write_pictures,
)
from record_files import write_records

from slotkeeper.cli.parser import DATASETS
from slotkeeper.data import VideoReader, convert_dataset, find_videos, load_segments, split_videos
from slotkeeper.data.sources.names import SOURCES, find_source
from slotkeeper.data.sources.physion import _content_of
from slotkeeper.data.sources.source import Source
from slotkeeper.errors import ConfigError, DataError


def convert(name: str, source: Path | str, tmp_path: Path) -> Path:
    converted = convert_dataset(name, source, tmp_path / "out", show_progress=False)
    assert converted.skipped == ()
    return converted.folder


def frames_of(folder: Path) -> np.ndarray:
    return np.stack([frame.pixels for frame in VideoReader(next(folder.glob("video.*")))])


def objects_of(folder: Path) -> Any:
    return json.loads((folder / "objects.json").read_text())


def assert_looks_like(folder: Path, frames: np.ndarray) -> None:
    """Encoded, but the same to the eye (colour is stored at half the resolution, so edges differ)."""
    made = frames_of(folder).astype(int)[:, : frames.shape[1], : frames.shape[2]]
    assert len(made) == len(frames)
    assert np.median(np.abs(made - frames)) <= 3


def test_the_command_line_names_every_data_set():
    assert set(DATASETS) == set(SOURCES)
    assert all(issubclass(find_source(name), Source) and find_source(name).expects for name in SOURCES)
    with pytest.raises(ConfigError, match="did you mean 'davis17'"):
        find_source("davis2017")


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"atari"}))
def test_a_folder_of_something_else_says_what_was_expected(name: str, tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="expected"):
        convert(name, tmp_path / "source", tmp_path)
    with pytest.raises(DataError, match="doesn't exist"):
        convert(name, tmp_path / "nowhere", tmp_path)
    assert not (tmp_path / "out/dataset.json").exists()


def test_movi_has_frames_masks_flow_depth_and_boxes(tmp_path: Path):
    out = convert("movi_a", write_movi(tmp_path / "source"), tmp_path)
    frames, labels = moving_squares()
    assert [item.video_id for item in find_videos(out)] == ["train/00000-000", "train/00000-001", "val/00000-000"]
    assert all(item.truth is not None for item in find_videos(out))
    video = out / "train/00000-001"
    assert_looks_like(video, frames)
    assert VideoReader(video / "video.mp4").info.fps == Fraction(12)
    np.testing.assert_array_equal(load_segments(video / "masks.npz"), labels)
    with np.load(video / "truth.npz") as truth:
        flow, depth = truth["flow"], truth["depth"]
    assert flow.dtype == np.float16
    np.testing.assert_allclose(flow[labels == 1].mean(axis=0), [1.0, 0.0], atol=1e-3)  # right, down
    np.testing.assert_allclose(flow[labels == 2].mean(axis=0), [0.5, -1.0], atol=1e-3)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, np.where(labels > 0, 6.0, 10.0), atol=1e-3)
    red, blue = objects_of(video)["objects"]
    assert (red["id"], red["shape"], red["color"]) == (1, "cube", "red")
    assert (blue["id"], blue["shape"], blue["color"]) == (2, "sphere", "blue")
    assert red["boxes"][1] == [2.0, 2.0, 7.0, 7.0]
    assert blue["boxes"][-1] is None
    assert objects_of(video)["video_name"] == "578"


def test_movi_of_two_resolutions_in_one_folder_is_refused(tmp_path: Path):
    write_movi(tmp_path / "source/128x128/1.0.0")
    write_movi(tmp_path / "source/256x256/1.0.0")
    with pytest.raises(DataError, match="several folders"):
        convert("movi_a", tmp_path / "source", tmp_path)


def test_another_movi_is_not_taken_for_the_wanted_one(tmp_path: Path):
    with pytest.raises(DataError, match="movi_e-train"):
        convert("movi_e", write_movi(tmp_path / "source", "movi_c"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"video": None}, "no feature 'video'"),
        ({"video": [b"\x89PNG\r\n"]}, "readable picture"),
        ({"forward_flow": [1, 2, 3]}, "forward_flow has 3 numbers"),
        ({"metadata/forward_flow_range": [float("nan"), 1.0]}, "two numbers"),
        ({"metadata/depth_range": None}, "no feature 'metadata/depth_range'"),
        ({"segmentations": [png(np.zeros((HEIGHT, WIDTH), np.uint8))]}, "its masks has the shape"),
        ({"segmentations": [png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))] * FRAMES}, "expected labels"),
        ({"instances/bboxes/ragged_flat_values": [float("nan")] * 4 * (2 * FRAMES - 1)}, "not finite"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_damaged_video_of_movi_is_left_out_by_name(tmp_path: Path, changes: Any, problem: str):
    path = tmp_path / "source/movi_c-train.tfrecord-00003-of-00010"
    write_records(path, [movi_example(**changes), movi_example()])
    converted = convert_dataset("movi_c", path.parent, tmp_path / "out", show_progress=False)
    assert [video.video_id for video in converted.videos] == ["train/00003-001"]
    ((place, reason),) = converted.skipped
    assert "record 0" in place
    assert problem in reason
    assert not (tmp_path / "out/train/00003-000").exists()


def test_a_record_file_that_ends_too_soon_gives_its_first_videos_and_says_so(tmp_path: Path):
    path = write_records(tmp_path / "source/movi_f-train.tfrecord-00000-of-00001", [movi_example(), movi_example()])
    path.write_bytes(path.read_bytes()[:-100])
    converted = convert_dataset("movi_f", path.parent, tmp_path / "out", show_progress=False)
    assert [video.video_id for video in converted.videos] == ["train/00000-000"]
    assert "record 1 is cut off" in converted.skipped[0][1]


def test_cater_with_masks_comes_from_compressed_records(tmp_path: Path):
    out = convert("cater", write_cater(tmp_path / "source"), tmp_path)
    assert [item.video_id for item in find_videos(out)] == [
        *("test/00000-000", "test/00000-001", "train/00000-000", "train/00000-001")
    ]
    np.testing.assert_array_equal(load_segments(out / "train/00000-001/masks.npz"), moving_squares(33, (64, 64))[1])
    assert_looks_like(out / "test/00000-000", moving_squares(33, (64, 64))[0])


def test_the_test_side_is_neither_trained_on_nor_held_out(tmp_path: Path):
    out = convert("cater", write_cater(tmp_path / "source", num_videos=1), tmp_path)
    sides = split_videos(out)
    assert [item.video_id for item in sides["train"]] == ["train/00000-000"]
    assert sides["val"] == []


def test_videos_of_clevr_are_copied_byte_for_byte_with_their_scenes(tmp_path: Path):
    film = write_film(tmp_path / "film.mp4", moving_squares()[0])
    (tmp_path / "source/videos").mkdir(parents=True)
    avi = tmp_path / "source/videos/CLEVR_new_000001.avi"
    avi.write_bytes(film.read_bytes())
    write_json(tmp_path / "source/scenes/CLEVR_new_000001.json", {"objects": [{"color": "red", "shape": "cube"}]})
    out = convert("clevr_video", tmp_path / "source", tmp_path)
    (item,) = find_videos(out)
    assert item.video_id == "CLEVR_new_000001"
    assert Path(str(item.video)).read_bytes() == film.read_bytes()
    assert item.masks is None
    assert objects_of(out / "CLEVR_new_000001")["objects"] == [{"id": 1, "color": "red", "shape": "cube"}]


def test_clevrer_keeps_an_objects_id_through_time_by_its_looks(tmp_path: Path):
    out = convert("clevrer", write_clevrer(tmp_path / "source"), tmp_path)
    assert [item.video_id for item in find_videos(out)] == ["train/video_00000", "val/video_10000"]
    video = out / "train/video_00000"
    labels = moving_squares(128, (16, 160))[1]
    by_annotation = np.choose(labels, [0, 2, 1]).astype(np.uint8)  # blue is object 0 of the annotation, red object 1
    np.testing.assert_array_equal(load_segments(video / "masks.npz"), by_annotation)  # the grey ghost is left out
    found = objects_of(video)
    assert [(thing["id"], thing["color"]) for thing in found["objects"]] == [(1, "blue"), (2, "red")]
    assert found["objects"][1]["boxes"][3] == [4, 2, 9, 7]
    assert "not the truth" in found["masks"]


def test_clevrer_without_annotations_numbers_objects_as_they_come(tmp_path: Path):
    source = write_clevrer(tmp_path / "source", has_ghost=False)
    for annotation in source.rglob("annotation_*.json"):
        annotation.unlink()
    out = convert("clevrer", source, tmp_path)
    segments = load_segments(out / "val/video_10000/masks.npz")
    labels = moving_squares(128, (16, 160))[1]
    np.testing.assert_array_equal(segments, labels)  # red is seen first, whatever the order in later frames


@pytest.mark.parametrize(
    ("frames", "problem"),
    [([{"objects": 5}], "are no list"), ([{"objects": [{"mask": 5}]}], "no size")],
    ids=["objects", "mask"],
)
def test_proposals_that_are_none_cost_their_video(tmp_path: Path, frames: Any, problem: str):
    source = write_clevrer(tmp_path / "source")
    write_json(source / "derender_proposals/proposal_00000.json", {"frames": frames})
    converted = convert_dataset("clevrer", source, tmp_path / "out", show_progress=False)
    assert [video.video_id for video in converted.videos] == ["val/video_10000"]
    assert problem in converted.skipped[0][1]


def test_davis17_has_several_objects_and_the_sides_of_its_lists(tmp_path: Path):
    out = convert("davis17", write_davis(tmp_path / "source"), tmp_path)
    assert [item.video_id for item in find_videos(out)] == ["train/bear", "val/dogs"]
    np.testing.assert_array_equal(load_segments(out / "val/dogs/masks.npz"), moving_squares()[1])
    assert VideoReader(out / "val/dogs/video.mp4").info.fps == Fraction(24)


def test_davis16_makes_one_object_of_all(tmp_path: Path):
    source = write_davis(tmp_path / "source")
    (source / "ImageSets/480p").mkdir()
    (source / "ImageSets/480p/val.txt").write_text(
        "".join(f"/JPEGImages/480p/dogs/{index:05d}.jpg /Annotations/480p/dogs/{index:05d}.png\n" for index in range(4))
    )
    write_pictures(source / "Annotations/480p/dogs", (moving_squares()[1] > 0).astype(np.uint8) * 255)
    out = convert("davis16", source, tmp_path)
    assert [item.video_id for item in find_videos(out)] == ["val/dogs"]
    np.testing.assert_array_equal(load_segments(out / "val/dogs/masks.npz"), moving_squares()[1] > 0)


@pytest.mark.parametrize("is_compressed", [True, False], ids=["compressed", "runs"])
@pytest.mark.parametrize("name", ["ytvis19", "ytvis21", "ovis"])
def test_video_instance_segmentation_comes_from_one_list_a_side(name: str, is_compressed: bool, tmp_path: Path):
    source = write_coco_vis(tmp_path / "source", is_compressed=is_compressed)
    if name == "ytvis21":
        (source / "train.json").rename(source / "train/instances.json")
    if name == "ovis":
        (source / "train.json").rename(source / "annotations_train.json")
    out = convert(name, source, tmp_path)
    train, val = find_videos(out)
    assert (train.video_id, val.video_id) == ("train/0a7a", "val/0a7a")
    assert val.masks is None
    np.testing.assert_array_equal(load_segments(out / "train/0a7a/masks.npz"), moving_squares()[1])
    things = objects_of(out / "train/0a7a")["objects"]
    assert [(thing["id"], thing["category"]) for thing in things] == [(1, "parrot"), (2, "parrot")]
    assert things[0]["boxes"][2] == [3, 2, 8, 7]
    assert things[1]["boxes"][3] is None
    assert VideoReader(out / "train/0a7a/video.mp4").info.fps == Fraction(6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"file_names": ["../../outside.jpg"]}, "can't be the name"),
        ({"file_names": ["/etc/passwd"]}, "can't be the name"),
        ({"file_names": ["0a7a/00000.jpg", "../../../outside.jpg"]}, "no file name"),
        ({"file_names": ["0a7a/00000.jpg", "/etc/passwd"]}, "no file name"),
        ({"file_names": ["0a7a/00000.jpg", 7]}, "no file name"),
        ({"file_names": ["0a7a/link.jpg"]}, "leads out"),
        ({"file_names": []}, "names 0 frames"),
        ({"file_names": None}, "names 0 frames"),
        ({"height": 10**6, "width": 10**6}, "claims a size"),
        ({"height": HEIGHT + 2}, "has the size"),
        ({"file_names": ["../../../escaped/00000.jpg"] * 4}, "can't be the name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_list_that_lies_costs_its_video_and_nothing_is_read_or_written_elsewhere(
    changes: Any, problem: str, tmp_path: Path
):
    source = write_coco_vis(tmp_path / "source", **changes)
    (tmp_path / "outside.jpg").write_bytes((source / "train/JPEGImages/0a7a/00000.jpg").read_bytes())
    (source / "train/JPEGImages/0a7a/link.jpg").symlink_to(tmp_path / "outside.jpg")
    converted = convert_dataset("ytvis19", source, tmp_path / "out", show_progress=False)
    assert [video.video_id for video in converted.videos] == ["val/0a7a"]
    assert problem in converted.skipped[0][1]
    assert {entry.name for entry in tmp_path.iterdir()} == {"source", "out", "outside.jpg"}


def test_objects_of_another_length_than_their_video_are_refused(tmp_path: Path):
    source = write_coco_vis(tmp_path / "source")
    listing = json.loads((source / "train.json").read_text())
    listing["annotations"][0]["segmentations"].pop()
    write_json(source / "train.json", listing)
    converted = convert_dataset("ytvis19", source, tmp_path / "out", show_progress=False)
    assert "object 1 should have 4 'segmentations'" in converted.skipped[0][1]


@pytest.mark.parametrize("text", ["{", "[]", '{"videos": 3}', "[" * 100_000], ids=["cut", "list", "number", "deep"])
def test_a_damaged_list_is_one_sentence(text: str, tmp_path: Path):
    source = write_coco_vis(tmp_path / "source")
    (source / "train.json").write_text(text)
    with pytest.raises(DataError, match=r"train\.json"):
        convert("ytvis19", source, tmp_path)


def test_mose_leaves_masks_out_where_they_cover_only_the_first_frame(tmp_path: Path):
    frames, labels = moving_squares()
    for side, count in (("train", FRAMES), ("valid", 1)):
        write_pictures(tmp_path / f"source/{side}/JPEGImages/00a1", frames, suffix=".jpg")
        write_palette_masks(tmp_path / f"source/{side}/Annotations/00a1", labels[:count])
    out = convert("mose", tmp_path / "source", tmp_path)
    np.testing.assert_array_equal(load_segments(out / "train/00a1/masks.npz"), labels)
    assert [item.masks is None for item in find_videos(out)] == [False, True]


def test_obj3d_has_frames_alone(tmp_path: Path):
    frames, _ = moving_squares(11)
    for side in ("train", "val", "test"):
        write_pictures(tmp_path / f"source/{side}/0", frames, name="test_{}")
    out = convert("obj3d", tmp_path / "source", tmp_path)
    assert [item.video_id for item in find_videos(out)] == ["test/0", "train/0", "val/0"]
    assert_looks_like(out / "train/0", frames)  # test_10 comes after test_9


@pytest.mark.parametrize("has_outlines", [True, False], ids=["outlines", "markers"])
def test_cells_have_the_markers_numbers_and_their_mother(tmp_path: Path, has_outlines: bool):
    out = convert("ctc", write_cells(tmp_path / "source", has_outlines=has_outlines), tmp_path)
    _, labels = moving_squares()
    cells = np.where(labels == 2, 300, labels.astype(np.uint16))
    segments = load_segments(out / "01/masks.npz")
    assert segments.dtype == np.uint16
    if has_outlines:
        np.testing.assert_array_equal(segments, cells)
    else:
        assert set(np.unique(segments)) == {0, 1, 300}
        assert (segments > 0).sum() < (cells > 0).sum()
    mother, daughter = objects_of(out / "01")["objects"]
    assert (daughter["id"], daughter["parent"], daughter["last"]) == (300, mother["id"], 2)
    frames = frames_of(out / "01")
    assert frames[0, 4, 3].min() > 240  # 16 bits are stretched over the range that is used
    assert frames[0, 0, 0].max() < 15


def test_cells_in_three_dimensions_are_refused(tmp_path: Path):
    source = write_cells(tmp_path / "source")
    layers = [Image.fromarray(np.zeros((16, 24), np.uint16))] * 3
    layers[0].save(source / "01/t001.tif", save_all=True, append_images=layers[1:])
    with pytest.raises(DataError, match="3 layers"):
        convert("ctc", source, tmp_path)


@pytest.mark.parametrize("corners", [[0.5] * 7, [0.5] * 4])
def test_boxes_of_movi_that_do_not_fit_their_frames_are_left_out(tmp_path: Path, corners: list[float]):
    path = tmp_path / "source/movi_c-train.tfrecord-00000-of-00001"
    write_records(path, [movi_example(**{"instances/bboxes/ragged_flat_values": corners})])
    out = convert("movi_c", path.parent, tmp_path)
    assert objects_of(out / "train/00000-000")["objects"] == []


def test_masks_of_physion_that_are_no_list_are_one_sentence(tmp_path: Path):
    frames, labels = moving_squares()
    film = write_film(tmp_path / "source/pilot_0001_img.mp4", frames)
    masks = {"0000": [{"idx": 0, **rle(labels[0] == 1)}], "0001": 5}
    write_json(film.with_name("pilot_0001_id.json"), masks)
    with pytest.raises(DataError, match="frame 1: its masks are no list"):
        convert("physion", tmp_path / "source", tmp_path)


def test_films_of_physion_may_have_masks_beside_them(tmp_path: Path):
    frames, labels = moving_squares()
    film = write_film(tmp_path / "source/PhysionTrainMP4s/Drop_training_MP4s/pilot_0001_img.mp4", frames)
    write_film(tmp_path / "source/PhysionTestMP4s/Drop/mp4s-redyellow/pilot_0002_img.mp4", frames)
    masks = {
        f"{index:04d}": [{"idx": label - 1, **rle(frame == label)} for label in (1, 2) if (frame == label).any()]
        for index, frame in enumerate(labels)
    }
    write_json(film.with_name("pilot_0001_id.json"), masks)
    out = convert("physion", tmp_path / "source", tmp_path)
    test, train = find_videos(out)
    assert train.video_id == "train/PhysionTrainMP4s/Drop_training_MP4s/pilot_0001_img"
    assert test.video_id == "test/Drop/mp4s-redyellow/pilot_0002_img"
    np.testing.assert_array_equal(load_segments(Path(str(train.masks))), labels)


def physion_file(suffix: str) -> Any:
    frames, labels = moving_squares()
    colours = np.array([[10, 200, 30], [250, 1, 99]], np.uint8)
    palette = np.concatenate([[[0, 0, 0]], colours]).astype(np.uint8)

    def stored(pixels: np.ndarray) -> np.ndarray:
        return np.frombuffer(png(pixels), np.uint8)

    pictures = [
        {"images": {f"_img{suffix}": stored(frame), f"_id{suffix}": stored(palette[label])}}
        for frame, label in zip(frames, labels, strict=True)
    ]
    static = {"object_segmentation_colors": colours, "object_ids": np.array([7, 9])}
    return {"frames": {f"{index:04d}": picture for index, picture in enumerate(pictures)}, "static": static}


@pytest.mark.parametrize("suffix", ["", "_cam0"])
def test_recordings_of_physion_have_masks(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch):
    class File:
        def __init__(self, path: Path, mode: str) -> None:
            assert (path.suffix, mode) == (".hdf5", "r")

        def __enter__(self) -> Any:
            return physion_file(suffix)

        def __exit__(self, *_: object) -> None: ...

    stand_in = types.ModuleType("h5py")
    stand_in.File = File  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "h5py", stand_in)
    (tmp_path / "source/Drop").mkdir(parents=True)
    (tmp_path / "source/Drop/0001.hdf5").write_bytes(b"")
    out = convert("physion", tmp_path / "source", tmp_path)
    np.testing.assert_array_equal(load_segments(out / "train/Drop/0001/masks.npz"), moving_squares()[1])
    assert [thing["object_id"] for thing in objects_of(out / "train/Drop/0001")["objects"]] == [7, 9]


def test_recordings_of_physion_that_claim_endless_objects_are_refused_before_memory_is_taken(tmp_path: Path):
    recording = physion_file("")
    recording["static"]["object_segmentation_colors"] = np.broadcast_to(np.uint8(1), (2**40, 3))
    with pytest.raises(DataError, match="of its objects takes more than"):
        _content_of(recording, tmp_path / "0001.hdf5")


def test_recordings_of_physion_without_h5py_say_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "source").mkdir()
    (tmp_path / "source/0001.hdf5").write_bytes(b"")
    with pytest.raises(DataError, match=r"pip install 'slotkeeper\[hdf5\]'"):
        convert("physion", tmp_path / "source", tmp_path)


class Game:
    """What `ocatari.core.OCAtari` gives, of a game with a ball that moves and a wall that comes late."""

    action_space = types.SimpleNamespace(n=4)

    def __init__(self, name: str, **settings: Any) -> None:
        assert (name, settings["mode"], settings["render_mode"]) == ("ALE/Pong-v5", "ram", "rgb_array")
        self._step = 0

    @property
    def objects(self) -> list[Any]:
        ball = types.SimpleNamespace(category="Ball", xywh=(3 + self._step, 5, 2, 4))
        wall = types.SimpleNamespace(category="Wall", xywh=(0, 0, 16, 2))
        return [ball, wall] if self._step else [ball]

    def _frame(self) -> np.ndarray:
        return np.full((20, 16, 3), 40 * self._step, np.uint8)

    def reset(self, *, seed: int) -> Any:
        self._step = 0
        return self._frame(), {"seed": seed}

    def step(self, action: int) -> Any:
        assert 0 <= action < 4
        self._step += 1
        return self._frame(), 0.0, self._step == 3, False, {}

    def close(self) -> None: ...


def test_atari_records_episodes_with_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stand_in = types.ModuleType("ocatari.core")
    stand_in.OCAtari = Game  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ocatari", types.ModuleType("ocatari"))
    monkeypatch.setitem(sys.modules, "ocatari.core", stand_in)
    out = convert("atari", "Pong:2", tmp_path)
    assert [item.video_id for item in find_videos(out)] == ["Pong/0000", "Pong/0001"]
    ball, wall = objects_of(out / "Pong/0001")["objects"]
    assert ball["boxes"] == [[3 + step, 5, 5 + step, 9] for step in range(4)]
    assert wall["boxes"] == [None, [0, 0, 16, 2], [0, 0, 16, 2], [0, 0, 16, 2]]
    assert VideoReader(out / "Pong/0000/video.mp4").count_frames() == 4


def test_atari_without_its_package_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ocatari", None)
    monkeypatch.setitem(sys.modules, "ocatari.core", None)
    with pytest.raises(ConfigError, match="pip install ocatari"):
        convert("atari", "Pong", tmp_path)
    with pytest.raises(ConfigError, match="games and how many episodes"):
        convert("atari", "../Pong", tmp_path)


def test_frames_of_odd_size_and_their_masks_grow_alike(tmp_path: Path):
    frames, labels = moving_squares(3, (15, 23))
    write_pictures(tmp_path / "source/JPEGImages/odd", frames)
    write_palette_masks(tmp_path / "source/Annotations/odd", labels)
    out = convert("mose", tmp_path / "source", tmp_path)
    segments = load_segments(out / "odd/masks.npz")
    assert segments.shape == frames_of(out / "odd").shape[:3] == (3, 16, 24)
    np.testing.assert_array_equal(segments[:, :15, :23], labels)
