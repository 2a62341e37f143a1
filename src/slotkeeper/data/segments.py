"""Masks on disk: `masks.npz` with key `masks`, or a folder with one PNG per frame. 0 is background.

Nothing is unpickled: arrays of Python objects are refused.
"""

from __future__ import annotations

import lzma
import math
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Integer, UInt
from numpy.typing import NDArray
from PIL import Image

from slotkeeper.data.frames import check_picture_size
from slotkeeper.data.image_folder import IMAGE_FORMATS, UNREADABLE, list_images
from slotkeeper.data.media import MediaPath
from slotkeeper.errors import DataError, counted, nearest_name
from slotkeeper.files import atomic_path

SegmentArray = UInt[np.ndarray, "t h w"]
_KEY = "masks"
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32))
_MAX_BYTES = 2**33
"""Of masks, unpacked: half an hour of 1280 x 720 at 5 frames a second. A file of a few KB can claim any size."""
_UNREADABLE_NPZ = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError),
    *(tokenize.TokenError, SyntaxError, ValueError, TypeError, KeyError, OverflowError, RuntimeError, MemoryError),
)
"""What `zipfile` and NumPy raise where a file is damaged: first about packing, then about the array's header."""
_Result = TypeVar("_Result")
_ONE_AT_A_TIME = threading.Lock()
"""NumPy reads an array's header by `ast.literal_eval`, which fails now and then in several threads of Python 3.11."""


def load_segments(path: str | MediaPath) -> SegmentArray:
    """Labels `t h w`, uint8, uint16 or uint32, from an npz file or a folder of PNG files in natural order.

    Raises:
        DataError: missing, not such a file, key `masks` missing, pickled objects, wrong type or number of axes.
    """
    path = Path(path) if isinstance(path, str) else path
    if path.is_dir():
        return _load_folder(path)
    return _with_masks_member(path, _read_array)


def segments_shape(path: MediaPath) -> tuple[int, int, int]:
    """Frames, height and width of masks without loading them.

    Raises:
        DataError: as `load_segments`; of a folder only the first file is looked at.
    """
    if path.is_dir():
        images = _mask_images(path)
        return len(images), *read_mask(images[0]).shape
    return _with_masks_member(path, _read_header)


def check_segments_fit(
    shape: tuple[int, ...], masks: MediaPath, *, num_frames: int | None, height: int, width: int, video: MediaPath
) -> None:
    """Compare masks with their video; a count of None is not compared.

    Raises:
        DataError: names both files and both counts or sizes.
    """
    if num_frames is not None and shape[0] != num_frames:
        raise DataError(
            f"{masks} has masks of {counted(shape[0], 'frame')}, but {video} has {counted(num_frames, 'frame')}"
        )
    if shape[1:] != (height, width):
        raise DataError(f"{masks} has masks of {shape[2]}x{shape[1]} pixels, but {video} has {width}x{height}")


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


def _with_masks_member(path: MediaPath, read: Callable[[zipfile.ZipExtFile, int], _Result]) -> _Result:
    """Open the member `masks.npy` of an npz file, and name the file in whatever goes wrong."""
    if not path.is_file():
        raise DataError(f"no such mask file: {path}")
    try:
        with path.open("rb") as handle, zipfile.ZipFile(handle) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            if _KEY not in keys:
                hint = nearest_name(_KEY, keys) if keys else "it is empty"
                raise DataError(f"{path} has no array named '{_KEY}'; {hint}")
            with archive.open(f"{_KEY}.npy") as member, _ONE_AT_A_TIME:
                return read(cast(zipfile.ZipExtFile, member), archive.getinfo(f"{_KEY}.npy").file_size)
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from error
    except _UNREADABLE_NPZ as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} can't be read as an npz file of masks: {reason}") from error


def _read_header(member: zipfile.ZipExtFile, num_bytes: int) -> tuple[int, int, int]:
    """Shape of the array in `member`, whose uncompressed length is `num_bytes`."""
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(member)
    if dtype.hasobject:
        raise DataError(f"'{_KEY}' holds pickled Python objects, which are never read; expected uint8 or uint16")
    if dtype.newbyteorder("=") not in _DTYPES:
        raise DataError(f"'{_KEY}' is {dtype}, expected uint8, uint16 or uint32")
    if len(shape) != 3 or 0 in shape:
        raise DataError(f"'{_KEY}' has shape {list(shape)}, expected frames, height and width, none of them 0")
    if math.prod(shape) * dtype.itemsize > num_bytes:
        raise DataError(f"'{_KEY}' claims shape {list(shape)}, more than its {num_bytes} bytes can hold")
    _check_bytes(math.prod(shape) * dtype.itemsize)
    return shape


def _check_bytes(num_bytes: int) -> None:
    if num_bytes > _MAX_BYTES:
        raise DataError(f"the masks take {num_bytes / 1e9:.3g} GB unpacked; at most {_MAX_BYTES / 1e9:.3g} GB are read")


def _read_array(member: zipfile.ZipExtFile, num_bytes: int) -> SegmentArray:
    _read_header(member, num_bytes)
    member.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _mask_images(folder: MediaPath) -> list[MediaPath]:
    images = [image for image in list_images(folder) if image.suffix.lower() == ".png"]
    if not images:
        raise DataError(f"{folder} has no masks: expected one PNG per frame")
    return images


def _load_folder(folder: MediaPath) -> SegmentArray:
    images = _mask_images(folder)
    try:
        _check_bytes(len(images) * read_mask(images[0]).nbytes)
    except DataError as error:
        raise error if str(folder) in str(error) else DataError(f"{folder}: {error}") from error
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
