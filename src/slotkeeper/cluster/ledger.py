"""What became of each video: an append-only file, one JSON object a line, that outlives the process that writes it.

The first line says which model the results are of. Each other line is an event of one video; its last one is its state:

waiting    known by path and name
started    handed to Ray
retrying   its worker died once; it waits for its second attempt
done       tracked; where it ends too soon, with a reason
skipped    can't be read
crashed    its worker died in both attempts
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from slotkeeper.errors import DataError, OutputError

LEDGER_FILE = "cluster.jsonl"
MAX_ATTEMPTS = 2
State = Literal["waiting", "started", "retrying", "done", "skipped", "crashed"]
FINAL_STATES: tuple[State, ...] = ("done", "skipped", "crashed")
_FORMAT, _VERSION = "slotkeeper cluster ledger", 1


@dataclass(frozen=True, kw_only=True)
class VideoRecord:
    """One video, as its last event left it.

    name: of its folder of results. path: absolute, links followed. attempt: counts from 1, 0 before the first.
    reason: why it was skipped, why its worker died, or why frames are missing. results: where they were written,
    relative to the ledger's folder, before they were moved to `name`. seconds: of tracking and writing.
    """

    name: str
    path: str
    state: State = "waiting"
    attempt: int = 0
    reason: str | None = None
    results: str | None = None
    num_frames: int = 0
    num_objects: int = 0
    seconds: float = 0.0

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in FINAL_STATES


_PLAIN = VideoRecord(name="", path="")
_EVENT_FIELDS = tuple(field.name for field in fields(VideoRecord) if field.name not in ("name", "path", "state"))


class Ledger:
    """An open ledger. Get one by `open_ledger`.

    Attributes:
        records: each video's state, by name.
    """

    def __init__(self, path: Path, handle: int, records: dict[str, VideoRecord]) -> None:
        self._path = path
        self._handle = handle
        self.records = records

    def add(self, *records: VideoRecord, notes: Mapping[str, str] | None = None, is_durable: bool = True) -> None:
        """Append an event of each video. notes: more to write down. is_durable: wait until a power cut can't undo it.

        Raises:
            OutputError: the disk is full.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        lines = []
        for record in records:
            known = self.records.get(record.name)
            event: dict[str, Any] = {"at": now, "name": record.name, "state": record.state}
            if known is None:
                event["path"] = record.path
            values = {key: getattr(record, key) for key in _EVENT_FIELDS}
            event |= {key: value for key, value in values.items() if value != getattr(_PLAIN, key)}
            lines.append(_line(event | dict(notes or {})))
        self._append("".join(lines), is_durable=is_durable)
        self.records.update({record.name: record for record in records})

    def _append(self, text: str, *, is_durable: bool) -> None:
        try:
            _write_all(self._handle, text)
            if is_durable:
                os.fsync(self._handle)
        except OSError as error:
            raise OutputError(f"can't write {self._path}: {error.strerror or error}") from error


def read_ledger(folder: str | os.PathLike[str]) -> dict[str, VideoRecord]:
    """Each video's state by name, also while another process writes it.

    Raises:
        DataError: there is no ledger in this folder, or it is damaged.
    """
    return _replay(Path(folder) / LEDGER_FILE)[1]


@contextmanager
def open_ledger(folder: Path, identity: Mapping[str, Any]) -> Iterator[Ledger]:
    """Go on with a folder's ledger, or begin one. identity: what all its results have in common, to be read in JSON.

    A last line that a kill cut short is removed.

    Raises:
        DataError: the ledger is damaged, or was begun with another identity.
        OutputError: it can't be written.
    """
    path = folder / LEDGER_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error
    try:
        header, records, num_bytes = _replay(path)
        os.ftruncate(handle, num_bytes)
        ledger = Ledger(path, handle, records)
        if header is None:
            ledger._append(_line({"format": _FORMAT, "version": _VERSION} | dict(identity)), is_durable=True)
        else:
            _check_identity(folder, header, identity)
        yield ledger
    finally:
        os.close(handle)


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, allow_nan=False) + "\n"


def _write_all(handle: int, text: str) -> None:
    rest = text.encode("ascii")
    while rest:
        rest = rest[os.write(handle, rest) :]


def _check_identity(folder: Path, header: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    for key, value in identity.items():
        if key != "model_name" and header.get(key) != value:
            what = f"the model {header.get('model_name')} in another state" if key == "model" else f"other {key}"
            if key == "model" and header.get("model_name") != identity.get("model_name"):
                what = f"another model, {header.get('model_name')}"
            raise DataError(f"{folder} holds results of {what}; choose another folder with --out")


def _replay(path: Path) -> tuple[dict[str, Any] | None, dict[str, VideoRecord], int]:
    """The header, each video's state, and the number of bytes up to the end of the last whole line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}") from error
    num_bytes = content.rfind(b"\n") + 1
    lines = content[:num_bytes].splitlines()
    header = _read_header(path, lines[0]) if lines else None
    records: dict[str, VideoRecord] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            record = _after(records, json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"line {number} of {path} is damaged; without it, what it finished is done again"
            ) from error
        records[record.name] = record
    return header, records, num_bytes


def _read_header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
        if header["format"] == _FORMAT and int(header["version"]) <= _VERSION:
            return dict(header)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is no ledger of slotkeeper") from error
    raise DataError(f"{path} is no ledger of slotkeeper, or of a newer version")


def _after(records: Mapping[str, VideoRecord], event: Mapping[str, Any]) -> VideoRecord:
    """The record that an event leaves; what it doesn't say is as at the beginning."""
    name, state = event["name"], event["state"]
    if state not in get_args(State):
        raise ValueError(state)
    path = records[name].path if name in records else event["path"]
    known = replace(_PLAIN, name=str(name), path=str(path), state=state)
    return replace(known, **{key: event[key] for key in _EVENT_FIELDS if key in event})
