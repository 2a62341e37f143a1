"""Arrays of npz files that anybody may have written: nothing is unpickled, and no size is believed unchecked."""

from __future__ import annotations

import lzma
import math
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from slotkeeper.data.media import MediaPath
from slotkeeper.errors import DataError, first_line, nearest_name

_UNREADABLE_NPZ = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError),
    *(tokenize.TokenError, SyntaxError, ValueError, TypeError, KeyError, OverflowError, RuntimeError, MemoryError),
)
"""What `zipfile` and NumPy raise where a file is damaged: first about packing, then about the array's header."""
_ONE_AT_A_TIME = threading.Lock()
"""NumPy reads an array's header by `ast.literal_eval`, which fails now and then in several threads of Python 3.11."""


@dataclass(frozen=True, kw_only=True)
class ArrayRules:
    """What an array must be to be read.

    key: its name in the file. what: it is called so in errors. dtypes: those that are read, in either order of bytes.
    axes: their names; a number is that axis's length. max_bytes: of the array, unpacked.
    """

    key: str
    what: str
    dtypes: tuple[np.dtype[Any], ...]
    axes: tuple[str | int, ...]
    max_bytes: int


def array_names(path: MediaPath, what: str) -> list[str]:
    """Which arrays a file says that it has. what: it is, in errors.

    Raises:
        DataError: the file is missing or damaged.
    """
    with _archive(path, what) as archive:
        return _keys(archive)


def array_shape(path: MediaPath, rules: ArrayRules) -> tuple[int, ...]:
    """Lengths of the axes without loading the array.

    Raises:
        DataError: the file is missing or damaged, has no such array, or the array breaks a rule.
    """
    with _opened(path, rules) as (member, num_bytes), _ONE_AT_A_TIME:
        return _read_header(member, num_bytes, rules)[0]


def load_array(path: MediaPath, rules: ArrayRules) -> NDArray[Any]:
    """The whole array, in this machine's order of bytes.

    Raises:
        DataError: as `array_shape`.
    """
    with _opened(path, rules) as (member, num_bytes), _ONE_AT_A_TIME:
        _read_header(member, num_bytes, rules)
        member.seek(0)
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def each_row(path: MediaPath, rules: ArrayRules) -> Iterator[NDArray[Any]]:
    """What stands along the first axis, one after the other; no more than one is in memory (Fortran's order excepted).

    Raises:
        DataError: as `array_shape`.
    """
    with _opened(path, rules) as (member, num_bytes):
        with _ONE_AT_A_TIME:
            shape, is_fortran, dtype = _read_header(member, num_bytes, rules)
        if is_fortran:
            whole = np.frombuffer(member.read(math.prod(shape) * dtype.itemsize), dtype)
            yield from whole.reshape(shape, order="F")
            return
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        for _ in range(shape[0]):
            yield np.frombuffer(member.read(row_bytes), dtype).reshape(shape[1:])


def check_bytes(num_bytes: int, rules: ArrayRules) -> None:
    """Refuse arrays that take too much memory.

    Raises:
        DataError: they do.
    """
    if num_bytes > rules.max_bytes:
        take = "take" if rules.what.endswith("s") else "takes"
        size, most = (f"{count / 1e9:.3g} GB" for count in (num_bytes, rules.max_bytes))
        raise DataError(f"the {rules.what} {take} {size} unpacked; at most {most} are read")


@contextmanager
def _opened(path: MediaPath, rules: ArrayRules) -> Iterator[tuple[zipfile.ZipExtFile, int]]:
    """Open an array within an npz file; also the array's length in bytes."""
    with _archive(path, rules.what) as archive:
        keys = _keys(archive)
        if rules.key not in keys:
            hint = nearest_name(rules.key, keys) if keys else "it is empty"
            raise DataError(f"{path} has no array named '{rules.key}'; {hint}")
        name = f"{rules.key}.npy"
        with archive.open(name) as member:
            yield cast(zipfile.ZipExtFile, member), archive.getinfo(name).file_size


@contextmanager
def _archive(path: MediaPath, what: str) -> Iterator[zipfile.ZipFile]:
    """Open an npz file, and name it in whatever goes wrong."""
    if not path.is_file():
        raise DataError(f"no such {what.removesuffix('s')} file: {path}")
    try:
        with path.open("rb") as handle, zipfile.ZipFile(handle) as archive:
            yield archive
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from error
    except _UNREADABLE_NPZ as error:
        raise DataError(f"{path} can't be read as an npz file of {what}: {first_line(error)}") from error


def _keys(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _read_header(
    member: zipfile.ZipExtFile, num_bytes: int, rules: ArrayRules
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and type of the array in `member`, whose unpacked length is given."""
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = reader(member)
    key = rules.key
    names = [kind.name for kind in rules.dtypes]
    expected = f"{', '.join(names[:-1])} or {names[-1]}"
    if dtype.hasobject:
        raise DataError(f"'{key}' holds pickled Python objects, which are never read; expected {expected}")
    if dtype.newbyteorder("=") not in rules.dtypes:
        raise DataError(f"'{key}' is {dtype}, expected {expected}")
    fits = len(shape) == len(rules.axes) and 0 not in shape
    if not fits or any(isinstance(axis, int) and axis != side for axis, side in zip(rules.axes, shape, strict=True)):
        axes = [str(axis) for axis in rules.axes]
        raise DataError(
            f"'{key}' has shape {list(shape)}, expected {', '.join(axes[:-1])} and {axes[-1]}, none of them 0"
        )
    if math.prod(shape) * dtype.itemsize > num_bytes:
        raise DataError(f"'{key}' claims shape {list(shape)}, more than its {num_bytes} bytes can hold")
    check_bytes(math.prod(shape) * dtype.itemsize, rules)
    return tuple(shape), bool(is_fortran), dtype
