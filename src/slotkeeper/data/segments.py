"""Masks on disk: `masks.npz` with key `masks`, or a folder with one PNG per frame. 0 is background.

Nothing is unpickled: arrays of Python objects are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt
from PIL import Image

from slotkeeper.data.derived import DerivedMasks
from slotkeeper.data.frames import check_picture_size
from slotkeeper.data.image_folder import IMAGE_FORMATS, UNREADABLE, list_images
from slotkeeper.data.media import MediaPath
from slotkeeper.data.npz import ArrayRules, array_shape, check_bytes, load_array
from slotkeeper.errors import DataError, counted
from slotkeeper.files import atomic_path

SegmentArray = UInt[np.ndarray, "t h w"]
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))
_MAX_BYTES = 2**33
"""Of masks, unpacked: half an hour of 1280 x 720 at 5 frames a second. A file of a few KB can claim any size."""


def load_segments(path: str | MediaPath) -> SegmentArray:
    """Labels `t h w`, uint8, uint16 or uint32, from an npz file or a folder of PNG files in natural order.

    Raises:
        DataError: missing, not such a file, key `masks` missing, pickled objects, wrong type or number of axes.
    """
    path = Path(path) if isinstance(path, str) else path
    if isinstance(path, DerivedMasks):
        with _naming(path):
            return path.load()
    if path.is_dir():
        return _load_folder(path)
    return load_array(path, _rules())


def segments_shape(path: MediaPath) -> tuple[int, int, int]:
    """Frames, height and width of masks without loading them.

    Raises:
        DataError: as `load_segments`; of a folder only the first file is looked at.
    """
    if isinstance(path, DerivedMasks):
        with _naming(path):
            return path.shape()
    if path.is_dir():
        images = _mask_images(path)
        return len(images), *read_mask(images[0]).shape
    frames, height, width = array_shape(path, _rules())
    return frames, height, width


def check_segments_fit(
    shape: tuple[int, ...], masks: MediaPath, *, num_frames: int | None, height: int, width: int, video: MediaPath
) -> None:
    """Compare masks with their video; a count of None is not compared.

    Raises:
        DataError: names both files and both counts or sizes.
    """
    check_fits("masks", shape, masks, num_frames=num_frames, height=height, width=width, video=video)


def check_fits(
    what: str,
    shape: tuple[int, ...],
    file: MediaPath,
    *,
    num_frames: int | None,
    height: int,
    width: int,
    video: MediaPath,
) -> None:
    """The same for anything that is known of every pixel of every frame; `what` it is stands in the sentence.

    Raises:
        DataError: as `check_segments_fit`.
    """
    if num_frames is not None and shape[0] != num_frames:
        has = f"{file} has {what} of {counted(shape[0], 'frame')}"
        raise DataError(f"{has}, but {video} has {counted(num_frames, 'frame')}")
    if shape[1:3] != (height, width):
        raise DataError(f"{file} has {what} of {shape[2]}x{shape[1]} pixels, but {video} has {width}x{height}")


def save_segments(path: str | Path, segments: Integer[np.ndarray, "t h w"]) -> None:
    """Write labels `t h w` as compressed npz, in the smallest of uint8 and uint16 that holds them; atomic.

    Raises:
        DataError: labels outside 0 to 65535.
        OutputError: can't be written.
    """
    low, high = (int(segments.min()), int(segments.max())) if segments.size else (0, 0)
    if low < 0 or high > 65535:
        raise DataError(f"{path}: labels must lie in 0 to 65535, got {low} to {high}")
    with atomic_path(Path(path)) as partial, partial.open("wb") as handle:
        np.savez_compressed(handle, masks=segments.astype(np.uint8 if high < 256 else np.uint16))


def _rules() -> ArrayRules:
    return ArrayRules(
        key="masks", what="masks", dtypes=_DTYPES, axes=("frames", "height", "width"), max_bytes=_MAX_BYTES
    )


@contextmanager
def _naming(place: MediaPath) -> Iterator[None]:
    """Name the place in whatever goes wrong."""
    try:
        yield
    except DataError as error:
        raise error if str(place) in str(error) else DataError(f"{place}: {error}") from error


def _mask_images(folder: MediaPath) -> list[MediaPath]:
    images = [image for image in list_images(folder) if image.suffix.lower() == ".png"]
    if not images:
        raise DataError(f"{folder} has no masks: expected one PNG per frame")
    return images


def _load_folder(folder: MediaPath) -> SegmentArray:
    images = _mask_images(folder)
    with _naming(folder):
        check_bytes(len(images) * read_mask(images[0]).nbytes, _rules())
    with ThreadPoolExecutor(max_workers=2) as pool:
        masks = list(pool.map(read_mask, images))
    for image, mask in zip(images, masks, strict=True):
        if mask.shape != masks[0].shape:
            sizes = f"{mask.shape[1]}x{mask.shape[0]}, but the first is {masks[0].shape[1]}x{masks[0].shape[0]}"
            raise DataError(f"{image} is {sizes}")
    return np.stack(masks)  # uint8 and uint16 together become uint16


def read_mask(path: MediaPath) -> UInt[np.ndarray, "h w"]:
    """Labels of a grey (8 or 16 bits), black-and-white or palette PNG; a palette's index is the label.

    Raises:
        DataError: it can't be read, or is a picture in colours.
    """
    try:
        with path.open("rb") as handle, Image.open(handle, formats=IMAGE_FORMATS) as image:
            check_picture_size(image.width, image.height, path)
            if image.mode in ("1", "L", "P"):
                return np.asarray(image).astype(np.uint8)
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)
            raise DataError(f"{path} is a {image.mode} picture, expected labels: grey with 8 or 16 bits, or a palette")
    except FileNotFoundError as error:
        raise DataError(f"no such mask file: {path}") from error
    except UNREADABLE as error:
        raise DataError(f"{path} can't be read as a mask: {error}") from error
