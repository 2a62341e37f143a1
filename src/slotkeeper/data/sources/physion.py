"""Physion (Bear et al., NeurIPS 2021, arXiv 2106.08261): mp4 files, or HDF5 files with masks and depth.

Beside `NAME_img.mp4` there may be `NAME_id.json`, run-length encoded masks of each frame. In an HDF5 file
`frames/0000/images` holds pictures (`_img`, `_id`, with or without `_cam0`), and `static` the colour of each object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from slotkeeper.data.image_folder import read_image
from slotkeeper.data.sources.memory_file import MemoryFile
from slotkeeper.data.sources.rle import decode_rle
from slotkeeper.data.sources.source import FolderSource, SourceVideo, Split, VideoContent, check_truth_size, read_json
from slotkeeper.errors import DataError

_FPS = Fraction(30)
_MAX_FRAMES = 10_000
_MAX_PICTURE_BYTES = 2**26
_MAX_FACT_BYTES = 2**20


class Physion(FolderSource):
    """Folders of scenarios; what lies in a folder with "test" in its name is the test side, all else is to train on."""

    expects = "PhysionTrainMP4s and PhysionTestMP4s, or folders of .hdf5 files"

    def videos(self) -> Iterator[SourceVideo]:
        """A video for each file."""
        films = [path for path in self.find("*.mp4") if not path.stem.endswith(("_id", "_map"))]
        records = self.find("*.hdf5")
        if not films and not records:
            raise self.missing()
        for path in sorted([*films, *records]):
            masks = path.with_name(f"{path.stem.removesuffix('_img')}_id.json")
            has_masks = path.suffix == ".mp4" and masks.is_file()
            read = partial(self._read_film, path, masks if has_masks else None)
            yield SourceVideo(
                video_id=self._name(path),
                split=self._split(path),
                place=str(path),
                read=read if path.suffix == ".mp4" else partial(_read_hdf5, self.inside(path)),
                files=(path, masks) if has_masks else (path,),
            )

    def _name(self, path: Path) -> str:
        """At most the two innermost folders and the file."""
        return "/".join((*path.relative_to(self.root).parent.parts[-2:], path.stem))

    def _split(self, path: Path) -> Split:
        folders = (self.root.name, *path.relative_to(self.root).parent.parts)
        return "test" if any("test" in folder.lower() for folder in folders) else "train"

    def _read_film(self, path: Path, masks: Path | None) -> VideoContent:
        segments = None if masks is None else _listed_masks(self.inside(masks))
        return VideoContent(file=self.inside(path), segments=segments)


def _listed_masks(path: Path) -> UInt8[np.ndarray, "t h w"]:
    raw = read_json(path)
    if not isinstance(raw, dict) or not raw or len(raw) > _MAX_FRAMES:
        raise DataError(f"{path} should list the masks of each frame under 0000, 0001 and so on")
    first = next((mask for masks in raw.values() if isinstance(masks, list) for mask in masks), None)
    size = first.get("size") if isinstance(first, dict) else None
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        raise DataError(f"{path} has no mask with a size")
    check_truth_size(str(path), len(raw), *size)
    segments = np.zeros((len(raw), *size), np.uint8)
    for index in range(len(raw)):
        masks = raw.get(f"{index:04d}") or []
        if not isinstance(masks, list):
            raise DataError(f"{path}, frame {index}: its masks are no list")
        for mask in masks:
            label = mask.get("idx") if isinstance(mask, dict) else None
            if type(label) is not int or not 0 <= label < 255:
                raise DataError(f"{path}, frame {index}: a mask has no idx from 0 to 254")
            try:
                segments[index][decode_rle(mask, height=size[0], width=size[1])] = label + 1
            except DataError as error:
                raise DataError(f"{path}, frame {index}: {error}") from error
    return segments


def _read_hdf5(path: Path) -> VideoContent:
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path} is an HDF5 file: reading it needs h5py (pip install 'slotkeeper[hdf5]')") from error
    try:
        with h5py.File(path, "r") as file:
            return _content_of(file, path)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise DataError(f"{path} can't be read as a recording of Physion: {error}") from error


def _content_of(file: Any, path: Path) -> VideoContent:
    """file: an open HDF5 file, or nested mappings of arrays."""
    names = sorted(file["frames"])
    if not 0 < len(names) <= _MAX_FRAMES:
        raise DataError(f"{path} has {len(names)} frames; expected 1 to {_MAX_FRAMES}")
    pictures = [file["frames"][name]["images"] for name in names]
    first = _picture(pictures[0], "_img", path)
    check_truth_size(str(path), len(names), *first.shape)
    frames = np.stack([_picture(images, "_img", path) for images in pictures])
    colours = _few(file["static"]["object_segmentation_colors"], path).reshape(-1, 3)
    if len(colours) > 255:
        raise DataError(f"{path} has {len(colours)} objects; at most 255 are read")
    segments = np.zeros(frames.shape[:3], np.uint8)
    for segment, images in zip(segments, pictures, strict=True):
        colour_of = _picture(images, "_id", path)
        if colour_of.shape[:2] != segment.shape:
            raise DataError(f"{path}: the pictures of objects have another size than the frames")
        for label, colour in enumerate(colours, start=1):
            segment[(colour_of == colour).all(axis=-1)] = label
    ids = _few(file["static"]["object_ids"], path).ravel().tolist()
    objects = [{"id": label, "object_id": own} for label, own in enumerate(ids[: len(colours)], start=1)]
    return VideoContent(frames=iter(frames), fps=_FPS, segments=segments, objects=objects)


def _few(stored: Any, path: Path) -> NDArray[Any]:
    """Numbers about the objects; a file can claim any length, and be small all the same."""
    if math.prod(stored.shape) * stored.dtype.itemsize > _MAX_FACT_BYTES:
        raise DataError(f"{path}: what it says of its objects takes more than {_MAX_FACT_BYTES} bytes")
    return np.asarray(stored)


def _picture(images: Mapping[str, Any], name: str, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    stored = images[name if name in images else f"{name}_cam0"]
    if getattr(stored, "external", None) or getattr(stored, "is_virtual", False) or _lies_elsewhere(stored, path):
        raise DataError(f"{path}: a picture is a link to another file, and is not read")
    if math.prod(stored.shape) * stored.dtype.itemsize > _MAX_PICTURE_BYTES:
        raise DataError(f"{path}: a picture takes more than {_MAX_PICTURE_BYTES} bytes")
    pixels: UInt8[np.ndarray, "h w 3"] = read_image(
        MemoryFile(f"{path}, {name}", np.asarray(stored[()]).astype(np.uint8).tobytes())
    )
    return pixels


def _lies_elsewhere(stored: Any, path: Path) -> bool:
    file = getattr(stored, "file", None)
    return file is not None and file.filename != str(path)
