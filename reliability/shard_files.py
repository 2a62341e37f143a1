"""Mutated sets of shards: their tar files, and the index that says what lies where in them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Any

from reliability import originals
from reliability.kinds import check_results, draw_clips
from reliability.mutations import Rng, mutated_bytes, mutated_data
from reliability.outcomes import BrokenPromiseError, Outcome, attempt, run_command

_ROOM = 700_000
"""Bytes of room that some videos leave free, so that few small videos make several shards of a megabyte."""
_SHARD_NAMES = (
    "../escape.tar",
    "../../originals/packed/shard-000000.tar",
    "/etc/hostname",
    "/dev/zero",
    "http://127.0.0.1:9/shard-000000.tar",
    "memory://shard-000000.tar",
    "file:///etc/hostname",
    "shard-000001.tar",
    "shard-999999.tar",
    "index.json",
    "shard-000000.tar\x00.tar",
    ".tar",
)
_IDS = (
    "../escape",
    "../../escape/video",
    "/escape",
    "a/../../../escape",
    "a//b",
    "a\\..\\..\\escape",
    "~/escape",
    "~root",
    "-",
    "--out",
    ".hidden",
    "a\nb: c",
    "a\x00b",
    "\ud800",
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "=cmd()",
    "n" * 300,
    "/".join(["deep"] * 2000),
    "http://127.0.0.1:9/a",
    "train/a",
    "video",
)
_NUMBERS = (-1, 0, 1, 2, 511, 512, 2**20, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, -(2**63), 10**30, 1.5, 512.0, True)
_LINK_TYPES = b"012356LxgS"
_TAR_NAMES = ("../../escape", "/tmp/escape", "..", "index.json", "a/../../../escape.mp4", "", "\n", "n" * 99)


class Shards:
    """A folder of shards, through inspection, the reading that training does, tracking and scoring."""

    def __init__(self, folder: Path):
        self._model = originals.write_run(folder / "trained")
        self._packed = folder / "packed"
        if not (self._packed / "index.json").exists():
            run_command("data", "shard", _write_source(folder / "to-pack"), "--out", self._packed, "--shard-mb", 1)
        self._index = (self._packed / "index.json").read_bytes()

    def write(self, rng: Rng, case: Path) -> str:
        folder = case / "shards"
        shutil.copytree(self._packed, folder)
        draw = rng.random()
        if draw < 0.2:
            data, done = mutated_bytes(rng, self._index, (self._packed / "shard-000000.tar").read_bytes()[:4096])
            (folder / "index.json").write_bytes(data)
            return f"index.json: {done}"
        index = json.loads(self._index)
        if draw < 0.4:
            index, done = mutated_data(rng, index)
            done = f"index.json: {done}"
        elif draw < 0.6:
            done = _with_odd_entry(rng, index)
        else:
            done = self._with_odd_shard(rng, index, folder)
        (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
        return done

    def _with_odd_shard(self, rng: Rng, index: dict[str, Any], folder: Path) -> str:
        """Damage one tar file; often the index gets the checksums of the damaged one, as an attacker would do it."""
        number = int(rng.integers(len(index["shards"])))
        path = folder / index["shards"][number]["name"]
        if rng.random() < 0.1:
            return _with_other_file(rng, path)
        data = path.read_bytes()
        members = [member for video in index["videos"] if video["shard"] == number for member in _members(video)]
        member = members[int(rng.integers(len(members)))]
        draw, start = rng.random(), member["offset"]
        if draw < 0.25:
            data, done = _with_odd_header(rng, data, start - tarfile.BLOCKSIZE)
        elif draw < 0.8:
            body = data[start : start + member["bytes"]]
            changed, done = mutated_bytes(rng, body, data[: 2 * tarfile.BLOCKSIZE])
            if rng.random() < 0.8:  # what follows keeps its place
                changed = changed[: len(body)].ljust(len(body), b"\0")
            data = data[:start] + changed + data[start + len(body) :]
        else:
            data, done = mutated_bytes(rng, data, self._index)
        path.write_bytes(data)
        if rng.random() < 0.6:
            _set_checksums(index, number, data)
            done += ", checksums set"
        return f"{path.name}, {member['name']}: {done}"

    def feed(self, case: Path, out: Path) -> Outcome:
        shards = case / "shards"
        outcome = run_command("track", shards, "--model", self._model, "--out", out / "tracks", "--quiet")
        tracked = [path.parent for path in (out / "tracks").rglob("tracks.json")]
        for folder in tracked:
            check_results(folder)
        if bool(tracked) == (outcome is Outcome.REFUSED):
            raise BrokenPromiseError(f"{outcome}, with results of {len(tracked)} videos")
        attempt(lambda: draw_clips(shards))
        run_command("data", "inspect", shards, "--sheet", out / "sheet.png")
        run_command("evaluate", self._model, shards, "--num-frames", 4, "--json", out / "scores.json", "--quiet")
        return outcome


def _write_source(folder: Path) -> Path:
    """Videos in three containers and a folder of pictures; masks of two of them as files and pictures."""
    originals.write_pictures(folder / "pictures", "png")
    for name in ("a-h264.mp4", "b-vp9.webm", "z-h264.mov"):
        path = originals.write_video_once(folder / name, num_frames=6)
        if path.suffix != ".webm":
            with path.open("ab") as file:
                file.write((_ROOM + 8).to_bytes(4, "big") + b"free" + bytes(_ROOM))
    originals.write_labels(folder / "a-h264.masks.npz", num_frames=6)
    originals.write_labels(folder / "pictures" / "masks.npz", num_frames=4)
    return folder


def _members(video: dict[str, Any]) -> list[dict[str, Any]]:
    return [*video["video"], *([video["masks"]] if video["masks"] else [])]


def _with_odd_entry(rng: Rng, index: dict[str, Any]) -> str:
    """Put a name, number or checksum into the index that a careless reader would follow."""
    video = index["videos"][int(rng.integers(len(index["videos"])))]
    shard = index["shards"][int(rng.integers(len(index["shards"])))]
    member = _members(video)[int(rng.integers(len(_members(video))))]
    holder, key = [
        (shard, "name"),
        (shard, "bytes"),
        (shard, "sha256"),
        (video, "id"),
        (video, "shard"),
        (video, "frames"),
        (video, "width"),
        (member, "name"),
        (member, "offset"),
        (member, "bytes"),
        (member, "crc32"),
        (index, "block_bytes"),
    ][int(rng.integers(12))]
    names = {"id": _IDS, "name": _SHARD_NAMES, "sha256": ("0" * 64, "f" * 64, ""), "crc32": (["00000000"], [], ["g"])}
    choices: Any = names.get(key, _NUMBERS)
    holder[key] = choices[int(rng.integers(len(choices)))]
    return f"index.json: {key} is {holder[key]!r:.60}"


def _with_odd_header(rng: Rng, data: bytes, place: int) -> tuple[bytes, str]:
    """Another name, kind of file, link or size in the header of a file within a tar file."""
    info = tarfile.TarInfo(_TAR_NAMES[int(rng.integers(len(_TAR_NAMES)))])
    info.type = _LINK_TYPES[(kind := int(rng.integers(len(_LINK_TYPES)))) : kind + 1]
    info.linkname = _TAR_NAMES[int(rng.integers(len(_TAR_NAMES)))]
    info.size = int(rng.choice([0, 1, 511, 2**33 - 1, 2**40]))
    header = info.tobuf(tarfile.GNU_FORMAT)[: tarfile.BLOCKSIZE]
    return data[:place] + header + data[place + tarfile.BLOCKSIZE :], f"header {info.name!r:.20} of kind {info.type!r}"


def _with_other_file(rng: Rng, path: Path) -> str:
    """Something else, or nothing, in the place of a tar file."""
    path.unlink()
    kind = str(rng.choice(["nothing", "a folder", "a link to a device", "a link to the index", "a link to itself"]))
    match kind:
        case "a folder":
            path.mkdir()
        case "a link to a device":
            path.symlink_to("/dev/zero")
        case "a link to the index":
            path.symlink_to("index.json")
        case "a link to itself":
            path.symlink_to(path.name)
    return f"{path.name}: {kind}"


def _set_checksums(index: dict[str, Any], number: int, data: bytes) -> None:
    """Let the index tell of the damaged bytes; places beyond their end stay as they were."""
    index["shards"][number] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    size = index["block_bytes"]
    for video in index["videos"]:
        for member in _members(video) if video["shard"] == number else []:
            body = data[member["offset"] : member["offset"] + member["bytes"]]
            member["crc32"] = [f"{zlib.crc32(body[at : at + size]):08x}" for at in range(0, member["bytes"], size)]
