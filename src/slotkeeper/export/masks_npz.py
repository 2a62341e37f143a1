"""masks.npz: `masks` [T,H,W] of track ids in the smallest unsigned type, written one frame at a time."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Int
from numpy.lib import format as npy

_KINDS = ("|u1", "<u2", "<u4")
_LENGTH = struct.Struct("<Q")


class MaskSpool:
    """Segments of one video, compressed frame by frame in a temporary file; use it as a context manager.

    The array's header stands first in its file and names the number of frames and the type, which are known only at
    the end: hence the detour.

    Args:
        path: of the temporary file; the caller removes it.
        size: height and width of all frames.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path = path
        self._size = size
        self._file = path.open("w+b")
        self._num_frames = 0
        self._largest = 0

    def __enter__(self) -> MaskSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, segments: Int[np.ndarray, "h w"]) -> None:
        """Keep one frame of ids."""
        largest = int(segments.max())
        self._largest = max(self._largest, largest)
        block = zlib.compress(segments.astype(_smallest_kind(largest)).tobytes(), level=1)
        self._file.write(_LENGTH.pack(len(block)))
        self._file.write(block)
        self._num_frames += 1

    def write(self, path: Path) -> None:
        """Write what `numpy.load(path)["masks"]` reads."""
        kind = _smallest_kind(self._largest)
        header = {"descr": npy.dtype_to_descr(kind), "fortran_order": False, "shape": (self._num_frames, *self._size)}
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive,
            archive.open("masks.npy", "w", force_zip64=True) as member,
        ):
            npy.write_array_header_1_0(member, header)
            for frame in self._frames():
                member.write(frame.astype(kind).tobytes())

    def _frames(self) -> Iterator[Int[np.ndarray, " pixels"]]:
        self._file.seek(0)
        for _ in range(self._num_frames):
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            pixels = zlib.decompress(self._file.read(length))
            yield np.frombuffer(pixels, dtype=f"<u{len(pixels) // math.prod(self._size)}").astype(np.int64)


def _smallest_kind(largest: int) -> np.dtype[np.unsignedinteger]:
    """The smallest type for ids up to `largest`; videos of more than 65535 objects need the widest."""
    return next(kind for kind in map(np.dtype, _KINDS) if largest <= np.iinfo(kind).max)
