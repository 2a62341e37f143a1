"""Writes tiny data sets in the very layouts in which the public ones are downloaded."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from record_files import Value, example, write_records

from slotkeeper.data.writer import VideoWriter

FRAMES, HEIGHT, WIDTH = 4, 16, 24


def moving_squares(num_frames: int = FRAMES, size: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[np.ndarray, np.ndarray]:
    """Frames and labels: 1 goes right a pixel a frame, 2 stands still and is gone in the last frame."""
    labels = np.zeros((num_frames, *size), np.uint8)
    for index, frame in enumerate(labels):
        frame[2:7, 1 + index : 6 + index] = 1
        if index < num_frames - 1:
            frame[9:14, 14:20] = 2
    colours = np.array([[90, 90, 90], [220, 30, 30], [30, 60, 220]], np.uint8)
    return colours[labels], labels


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def rle(mask: np.ndarray, *, is_compressed: bool = True) -> dict[str, Any]:
    """By pycocotools, or as the plain list of runs that annotators write."""
    if is_compressed:
        made = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(made["size"]), "counts": made["counts"].decode("ascii")}
    flat = mask.T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def write_film(path: Path, frames: np.ndarray, *, fps: int = 25) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=Fraction(fps), width=frames.shape[2], height=frames.shape[1]) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_pictures(folder: Path, frames: np.ndarray, *, suffix: str = ".png", name: str = "{:05d}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{name.format(index)}{suffix}", quality=95)
    return folder


def write_palette_masks(folder: Path, labels: np.ndarray) -> Path:
    """As DAVIS and MOSE store them: the index of a colour is the label."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(labels):
        paletted = Image.frombytes("P", frame.shape[::-1], frame.tobytes())
        paletted.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
        paletted.save(folder / f"{index:05d}.png")
    return folder


def movi_example(*, flow_range: tuple[float, float] = (-2.0, 4.0), **changes: Value) -> bytes:
    """What TensorFlow Datasets writes of a MOVi video with two instances."""
    frames, labels = moving_squares()
    flow = np.zeros((*labels.shape, 2))  # down, right
    flow[labels == 1] = (0.0, 1.0)
    flow[labels == 2] = (-1.0, 0.5)
    low, high = flow_range
    stored = np.round((flow - low) / (high - low) * 65535).astype(np.uint16)
    depth = np.round((np.where(labels > 0, 6.0, 10.0) - 5.0) / 10.0 * 65535).astype(np.uint16)
    values: dict[str, Value] = {
        "metadata/video_name": [b"578"],
        "metadata/num_frames": [FRAMES],
        "metadata/depth_range": [5.0, 15.0],
        "metadata/forward_flow_range": [low, high],
        "video": [png(frame) for frame in frames],
        "segmentations": [png(frame) for frame in labels],
        "forward_flow": stored.ravel().tolist(),
        "depth": [png(frame) for frame in depth],
        "instances/shape_label": [0, 2],
        "instances/color_label": [6, 0],
        "instances/bboxes/ragged_row_lengths_0": [FRAMES, FRAMES - 1],
        "instances/bboxes/ragged_flat_values": [
            *(side for index in range(FRAMES) for side in (2 / 16, (1 + index) / 24, 7 / 16, (6 + index) / 24)),
            *(side for _ in range(FRAMES - 1) for side in (9 / 16, 14 / 24, 14 / 16, 20 / 24)),
        ],
        "instances/bbox_frames/ragged_flat_values": [*range(FRAMES), *range(FRAMES - 1)],
    }
    return example({name: value for name, value in {**values, **changes}.items() if value is not None})


def write_movi(root: Path, name: str = "movi_a", *, num_train: int = 2) -> Path:
    write_records(root / f"{name}-train.tfrecord-00000-of-00002", [movi_example() for _ in range(num_train)])
    write_records(root / f"{name}-validation.tfrecord-00000-of-00001", [movi_example()])
    return root


def write_davis(root: Path) -> Path:
    """Two sequences of 2017."""
    frames, labels = moving_squares()
    for name in ("bear", "dogs"):
        write_pictures(root / "JPEGImages/480p" / name, frames, suffix=".jpg")
        write_palette_masks(root / "Annotations/480p" / name, labels)
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/train.txt").write_text("bear\n")
    (root / "ImageSets/2017/val.txt").write_text("dogs\n")
    return root


def write_coco_vis(root: Path, *, is_compressed: bool = True, **changes: Any) -> Path:
    """A side `train` with masks and a side `valid` without, as YouTube-VIS 2019 has them."""
    frames, labels = moving_squares()
    video = {"id": 7, "width": WIDTH, "height": HEIGHT, "length": FRAMES}
    video["file_names"] = [f"0a7a/{index:05d}.jpg" for index in range(FRAMES)]  # type: ignore[assignment]
    for side in ("train", "valid"):
        write_pictures(root / side / "JPEGImages/0a7a", frames, suffix=".jpg")
    masks = [
        [rle(frame == label, is_compressed=is_compressed) if (frame == label).any() else None for frame in labels]
        for label in (1, 2)
    ]
    annotations = [
        {"id": 30 + place, "video_id": 7, "category_id": 5, "iscrowd": 0, "segmentations": own}
        for place, own in enumerate(masks)
    ]
    categories = [{"id": 5, "name": "parrot"}]
    listing = {"videos": [video | changes], "annotations": annotations, "categories": categories}
    write_json(root / "train.json", listing)
    write_json(root / "valid.json", {"videos": [video], "annotations": None, "categories": categories})
    return root


def write_cells(root: Path, *, has_outlines: bool = True) -> Path:
    """A set of the Cell Tracking Challenge: markers are smaller than outlines, whose numbers mean nothing."""
    _, labels = moving_squares()
    gray = np.where(labels > 0, 9000, 1000).astype(np.uint16)
    cells = np.where(labels == 2, 300, labels.astype(np.uint16))
    markers = np.zeros_like(cells)
    markers[:, 3:6] = cells[:, 3:6]
    markers[:, 10:13] = cells[:, 10:13]
    write_pictures(root / "01", gray, suffix=".tif", name="t{:03d}")
    write_pictures(root / "01_GT/TRA", markers, suffix=".tif", name="man_track{:03d}")
    (root / "01_GT/TRA/man_track.txt").write_text("1 0 3 0\n300 0 2 1\n")
    if has_outlines:
        shuffled = np.stack([np.choose(frame, [0, 2 - index % 2, 1 + index % 2]) for index, frame in enumerate(labels)])
        write_pictures(root / "01_ST/SEG", shuffled.astype(np.uint16), suffix=".tif", name="man_seg{:03d}")
    return root


def write_clevrer(root: Path, *, num_frames: int = 128, has_ghost: bool = True) -> Path:
    """One video of each side; masks come from a detector, in an order that changes, and one of nothing at all."""
    frames, labels = moving_squares(num_frames, (16, 160))
    looks = {1: ("red", "metal", "cube"), 2: ("blue", "rubber", "sphere")}
    for number, side in ((0, "train"), (10_000, "validation")):
        name = f"{number:05d}"
        write_film(root / f"video_{side}/video_00000-01000/video_{name}.mp4", frames)
        things = [
            {"object_id": 0, "color": "blue", "material": "rubber", "shape": "sphere"},
            {"object_id": 1, "color": "red", "material": "metal", "shape": "cube"},
        ]
        write_json(root / f"annotation_{side}/annotation_{name}.json", {"object_property": things})
        listed = []
        for index, frame in enumerate(labels):
            found = []
            for label in ((1, 2), (2, 1))[index % 2]:
                if (frame == label).any():
                    colour, material, shape = looks[label]
                    own = {"color": colour, "material": material, "shape": shape, "score": 0.9}
                    found.append({"mask": rle(frame == label), **own})
            ghost = {"color": "gray", "material": "metal", "shape": "cube", "score": 0.99}
            found += [{"mask": rle(np.ones_like(frame)), **ghost}] if has_ghost else []
            listed.append({"frame_index": index, "objects": found})
        write_json(root / f"derender_proposals/proposal_{name}.json", {"video_index": number, "frames": listed})
    return root


def write_cater(root: Path, *, num_videos: int = 2) -> Path:
    """CATER with masks: raw bytes in zlib-compressed records, the background is the first of 11 entities."""
    frames, labels = moving_squares(33, (64, 64))
    masks = np.stack([labels == entity for entity in range(11)], axis=1).astype(np.uint8) * 255
    record = example({"image": [frames.tobytes()], "mask": [masks.tobytes()], "camera_matrix": [0.0]})
    for side in ("train", "test"):
        path = root / f"cater_with_masks_{side}.tfrecords-00000-of-00100"
        write_records(path, [record] * num_videos, is_packed=True)
    return root
