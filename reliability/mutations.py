"""Damage to files: to their bytes, and to plain data such as JSON or YAML holds."""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
_MAX_ROUNDS = 3
_TAG = re.compile(rb"[a-zA-Z][a-zA-Z0-9 ]{3}")
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def mutated_bytes(rng: Rng, data: bytes, other: bytes) -> tuple[bytes, str]:
    """One to three kinds of damage, and their names. other: a file to splice with, perhaps of another format."""
    names = []
    for _ in range(int(rng.integers(1, _MAX_ROUNDS + 1))):
        name = str(rng.choice(list(_BYTE_DAMAGE)))
        names.append(name)
        data = _BYTE_DAMAGE[name](rng, data, other)
    return data, " + ".join(names)


def _place(rng: Rng, data: bytes) -> int:
    """A place in the data; half of them are near its start, where headers are."""
    if not data:
        return 0
    reach = len(data) if rng.random() < 0.5 else min(len(data), 512)
    return int(rng.integers(reach))


def _length(rng: Rng, most: int = 4096) -> int:
    """Short lengths are as likely as long ones."""
    return int(2 ** rng.uniform(0, np.log2(most)))


def _flip_bits(rng: Rng, data: bytes, _: bytes) -> bytes:
    flipped = bytearray(data)
    for _number in range(_length(rng, 64) if data else 0):
        flipped[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def _flip_bytes(rng: Rng, data: bytes, _: bytes) -> bytes:
    flipped = bytearray(data)
    for _number in range(_length(rng, 64) if data else 0):
        flipped[_place(rng, data)] = int(rng.integers(256))
    return bytes(flipped)


def _random_run(rng: Rng, data: bytes, _: bytes) -> bytes:
    start = _place(rng, data)
    run = rng.bytes(_length(rng))
    return data[:start] + run + data[start + len(run) :]


def _zero_block(rng: Rng, data: bytes, _: bytes) -> bytes:
    start, length = _place(rng, data), _length(rng)
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def _cut_end(rng: Rng, data: bytes, _: bytes) -> bytes:
    return data[: _place(rng, data)]


def _cut_head(rng: Rng, data: bytes, _: bytes) -> bytes:
    return data[_place(rng, data) :]


def _cut_out(rng: Rng, data: bytes, _: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + data[start + _length(rng) :]


def _double_block(rng: Rng, data: bytes, _: bytes) -> bytes:
    start = _place(rng, data)
    block = data[start : start + _length(rng)]
    return data[:start] + block * int(rng.integers(2, 20)) + data[start:]


def _insert(rng: Rng, data: bytes, _: bytes) -> bytes:
    start = _place(rng, data)
    return data[:start] + rng.bytes(_length(rng)) + data[start:]


def _splice(rng: Rng, data: bytes, other: bytes) -> bytes:
    return data[: _place(rng, data)] + other[_place(rng, other) :]


def _other_header(rng: Rng, data: bytes, other: bytes) -> bytes:
    length = _length(rng, 1024)
    return other[:length] + data[length:]


def _odd_number(rng: Rng, data: bytes, _: bytes) -> bytes:
    return _with_odd_number(rng, data, _place(rng, data))


def _odd_number_after_tag(rng: Rng, data: bytes, _: bytes) -> bytes:
    """Four letters often name a part of a file, and its sizes and counts follow them."""
    tags = [found.end() for found in _TAG.finditer(data)]
    return _with_odd_number(rng, data, int(rng.choice(tags)) + int(rng.integers(-8, 40))) if tags else data


def _with_odd_number(rng: Rng, data: bytes, place: int) -> bytes:
    place, width = max(0, place), int(rng.choice([1, 2, 4, 8]))
    number = int(rng.choice(np.array(_NUMBERS, dtype=object))) % 256**width
    order = "big" if rng.random() < 0.5 else "little"
    return data[:place] + number.to_bytes(width, order) + data[place + width :]  # type: ignore[arg-type]


def _emptied(_: Rng, data: bytes, other: bytes) -> bytes:
    del data, other
    return b""


_BYTE_DAMAGE: dict[str, Callable[[Rng, bytes, bytes], bytes]] = {
    "flipped bits": _flip_bits,
    "changed bytes": _flip_bytes,
    "random run": _random_run,
    "zeroed block": _zero_block,
    "cut end": _cut_end,
    "cut head": _cut_head,
    "cut out": _cut_out,
    "doubled block": _double_block,
    "inserted bytes": _insert,
    "spliced": _splice,
    "other header": _other_header,
    "odd number": _odd_number,
    "odd number after a tag": _odd_number_after_tag,
    "emptied": _emptied,
}


_MARKS = (
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!int ",
    "\t",
    "|\n",
    ">\n",
    "#",
    "'",
    '"',
    "---\n",
    "? ",
    "<<: ",
)
_NUMBERS_AS_TEXT = ("0", "1", "2", "16", "-1", "1e3", "1e9", ".inf", ".nan", "0x10", "1_0", "99999")
_DIGITS = re.compile(r"[0-9.]+")


def mutated_text(rng: Rng, text: str) -> tuple[str, str]:
    """Text of lines with one to three lines doubled, lost, moved, indented or changed, and what was done."""
    names = []
    for _ in range(int(rng.integers(1, _MAX_ROUNDS + 1))):
        lines = text.splitlines(keepends=True) or [""]
        place, other = (int(number) for number in rng.integers(len(lines), size=2))
        name = str(rng.choice(["doubled", "lost", "swapped", "indented", "mark inserted", "number changed"]))
        names.append(f"line {place} {name}")
        match name:
            case "doubled":
                lines.insert(place, lines[place])
            case "lost":
                del lines[place]
            case "swapped":
                lines[place], lines[other] = lines[other], lines[place]
            case "indented":
                lines[place] = " " * int(rng.integers(1, 5)) + lines[place]
            case "mark inserted":
                at = int(rng.integers(len(lines[place]) + 1))
                lines[place] = lines[place][:at] + _MARKS[int(rng.integers(len(_MARKS)))] + lines[place][at:]
            case _:
                lines[place] = _DIGITS.sub(str(rng.choice(_NUMBERS_AS_TEXT)), lines[place], count=1)
        text = "".join(lines)
    return text, " + ".join(names)


def with_right_checksums(png: bytes) -> bytes:
    """A PNG file whose chunks have the checksum of what is in them now, so that damage gets past the first check."""
    parts, place = [png[:8]], 8
    while place + 12 <= len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        body = png[place + 4 : place + 8 + length]
        parts.append(png[place : place + 4] + body + zlib.crc32(body).to_bytes(4, "big"))
        place += 12 + length
    return b"".join(parts) + png[place:]


def mutated_data(rng: Rng, data: Any) -> tuple[Any, str]:
    """Plain data with one to three values, keys or items changed, and what was done."""
    changed, names = copy.deepcopy(data), []
    for _ in range(int(rng.integers(1, _MAX_ROUNDS + 1))):
        places = list(_places(changed))
        if not places:
            return odd_value(rng), "replaced all"
        holder, key = places[int(rng.integers(len(places)))]
        name = str(rng.choice(list(_DATA_DAMAGE)))
        names.append(f"{name} at {key}")
        _DATA_DAMAGE[name](rng, holder, key, changed)
    return changed, " + ".join(names)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """All (holder, key or index) in nested lists and dictionaries."""
    pairs = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    return [(data, key) for key, _ in pairs] + [place for _, value in pairs for place in _places(value)]


def odd_value(rng: Rng) -> Any:
    """Something that a careful reader of files must be ready for."""
    return copy.deepcopy(_ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))])


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", "text", "../../escape", "/dev/zero", "\x00", "\u202egnp.exe", "\ud800"),
    *(0, 1, -1, 2, 3, 7, 255, 1000, 10**5, 10**6, 2**31, 2**53, 2**63, 2**64, 10**18, 10**30, 10**400, -(10**12)),
    *(0.0, 0.5, -0.5, 1.5, 1e-300, 1e308, float("nan"), float("inf"), float("-inf")),
    *([1, 2], [2**31, 2**31], [[0, 1], [1, 10**9]], [[0, "all"]], {"name": "text"}, {"a": {"b": {"c": 1}}}),
    *(_nested(50), list(range(1000)), ["text"] * 3, [float("nan")] * 4, [None, None], [2048, 2048], [-1, -1, 5, 5]),
    *(
        "os:system",
        "subprocess:Popen",
        "slotkeeper.model:SlotModel",
        ":",
        "a:b:c",
        "=cmd()",
        "<script>",
        "all",
        "default",
    ),
)


def _replace(rng: Rng, holder: Any, key: Any, _: Any) -> None:
    holder[key] = odd_value(rng)


def _scale(rng: Rng, holder: Any, key: Any, _: Any) -> None:
    if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        factor = float(rng.choice([-1.0, 0.5, 3.0, 10.0, 1000.0, 1e6, 1e12]))
        try:
            holder[key] = type(holder[key])(holder[key] * factor)
        except (OverflowError, ValueError):
            holder[key] = 0
    else:
        _replace(rng, holder, key, None)


def _remove(_: Rng, holder: Any, key: Any, __: Any) -> None:
    del holder[key]


def _rename(rng: Rng, holder: Any, key: Any, _: Any) -> None:
    value = holder[key]
    if isinstance(holder, dict):
        del holder[key]
        holder[str(rng.choice(["", "x", f"{key}s", str(key)[:-1], "name", "path", "__class__"]))] = value
    else:
        holder.append(value)


def _move(rng: Rng, holder: Any, key: Any, whole: Any) -> None:
    """The value of another place, copied here."""
    places = _places(whole)
    other_holder, other_key = places[int(rng.integers(len(places)))]
    holder[key] = copy.deepcopy(other_holder[other_key])


def _wrap(rng: Rng, holder: Any, key: Any, _: Any) -> None:
    holder[key] = [holder[key]] if rng.random() < 0.5 else {"name": holder[key]}


_DATA_DAMAGE: dict[str, Callable[[Rng, Any, Any, Any], None]] = {
    "replaced": _replace,
    "scaled": _scale,
    "removed": _remove,
    "renamed": _rename,
    "moved": _move,
    "wrapped": _wrap,
}
