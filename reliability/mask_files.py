"""Mask archives that are right as zip files, and wrong inside."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image

from reliability.mutations import Rng, mutated_bytes
from reliability.originals import frames_and_segments

_SHAPES = ("(12, 64, 64)", "(1, 64, 64)", "(10**9, 64, 64)", "(100000, 100000, 100000)", "(12, 64)", "()", "'a'")
_ODD_SHAPES = ("(12, 0, 64)", "(2**62, 4, 4)", "(12, 64, 64, 1)", "((12,), 64, 64)", "(12.0, 64, 64)", "(True, 64, 64)")
_TYPES = ("'|u1'", "'<u2'", "'>u2'", "'<i8'", "'<f4'", "'|O'", "'<U9'", "[('a', '|u1')]", "'|V1'", "'?'", "0", "'xx'")
_MODES = ("1", "L", "P", "I;16", "RGB", "RGBA", "LA", "CMYK", "F", "I")
_KEYS = ("masks.npy", "masks.npy", "masks.npy", "mask.npy", "../masks.npy", "masks", "/etc/masks.npy", "\u202e.npy")


def mutated_archive(rng: Rng) -> tuple[bytes, str]:
    """An npz file with an odd header, type, key, length or method of packing."""
    shape, kind = _chosen(rng, (*_SHAPES, *_ODD_SHAPES)), _chosen(rng, _TYPES)
    if rng.random() < 0.5:
        kind = "'|u1'"
    order = _chosen(rng, ("False", "False", "True", "None", "'C'"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    version, name = b"\x01\x00", "header"
    if rng.random() < 0.2:
        header, name = _odd_header(rng, header)
    if rng.random() < 0.1:
        version = bytes(rng.integers(0, 5, 2, dtype=np.uint8))
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    length = len(header).to_bytes(2 if version[:1] == b"\x01" else 4, "little")
    if rng.random() < 0.1:
        length = rng.bytes(len(length))
    body = frames_and_segments()[1].tobytes()
    if rng.random() < 0.4:  # labels without sense, of two bytes too
        body, name = rng.bytes(2 * len(body)), f"{name} + noise"
    if rng.random() < 0.3:
        body, name = body[: int(rng.integers(len(body)))], f"{name} + short body"
    member = b"\x93NUMPY" + version + length + header + body
    return _zipped(rng, member), f"{name} {header[:80]!r}"


def odd_picture(rng: Rng) -> tuple[bytes, str]:
    """A whole picture in some format, mode and size, with noise or one label in it."""
    mode, kind = _chosen(rng, _MODES), _chosen(rng, ("PNG", "PNG", "PNG", "GIF", "BMP", "TIFF", "JPEG", "WEBP", "EPS"))
    size = [(64, 64), (64, 64), (1, 1), (63, 65), (5000, 3)][int(rng.integers(5))]
    values = rng.integers(0, 65536, (size[1], size[0])) if rng.random() < 0.5 else np.full((size[1], size[0]), 3)
    picture = Image.fromarray(values.astype(np.int32)).convert("I;16" if mode == "I;16" else "L")
    file = io.BytesIO()
    try:
        (picture if mode == "I;16" else picture.convert(mode)).save(file, kind)
    except (OSError, ValueError):
        return b"", f"no {kind} of {mode}"
    return file.getvalue(), f"{kind} of {mode}, {size[0]} x {size[1]}"


def _odd_header(rng: Rng, header: bytes) -> tuple[bytes, str]:
    if rng.random() < 0.3:
        return b"(" * int(rng.choice([10, 90, 1000, 60_000])), "deep header"
    if rng.random() < 0.3:
        return b"{'descr': '|u1', 'shape': " + b"9" * int(rng.choice([10, 5000])) + b"}", "long number in header"
    data, done = mutated_bytes(rng, header, b"__import__('os').system('touch escaped')")
    return data[:60_000], f"header {done}"


def _zipped(rng: Rng, member: bytes) -> bytes:
    key = _chosen(rng, _KEYS)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", methods[int(rng.integers(len(methods)))]) as archive:
        archive.writestr(key, member)
        if rng.random() < 0.1:
            archive.writestr("other.npy", member)
    data = file.getvalue()
    if rng.random() < 0.2:  # a length that isn't true, in the list at the end
        place = data.rfind(b"PK\x01\x02") + int(rng.choice([20, 24]))
        data = data[:place] + int(rng.choice([0, 1, 2**31, 2**32 - 2])).to_bytes(4, "little") + data[place + 4 :]
    return data


def _chosen(rng: Rng, texts: tuple[str, ...]) -> str:
    return texts[int(rng.integers(len(texts)))]
