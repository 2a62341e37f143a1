"""`index.json` beside the shards: where in which shard each video lies. Written last, and read as foreign input."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from slotkeeper.data.shards.checked import count_of, list_of, shortened, text_of, value_of
from slotkeeper.data.shards.feature_facts import FeatureFacts, parse_facts, plain_facts
from slotkeeper.errors import DataError

INDEX_NAME = "index.json"
FORMAT, FEATURES_FORMAT, VERSION = "slotkeeper-shards", "slotkeeper-features", 1
BLOCK_BYTES = 2**20
"""Each block of a member has its own checksum, so that a part can be read and checked without the rest."""
_BLOCK_RANGE = 2**12, 2**26
_SHARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tar")
_MEMBER_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_SPLITS = ("train", "val")
_SOURCE = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file within a shard. offset: of its first byte in the shard. checksums: CRC-32 of each block of it."""

    name: str
    offset: int
    num_bytes: int
    checksums: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One tar file. sha256: 64 hexadecimal digits."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardedVideo:
    """One video. shard: its number. width, height: pixels. video: one file, or all pictures of a folder in order.

    In a set of features there are these in the video's place. source: of features, `content_mark` of their video.
    """

    video_id: str
    shard: int
    num_frames: int
    width: int
    height: int
    is_folder: bool
    video: tuple[Member, ...]
    masks: Member | None = None
    truth: Member | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """All shards of a set. splits: those of `train` and `val` that were folders of what the set was made from.

    features: of a set that holds features of videos, not videos.
    """

    shards: tuple[Shard, ...]
    videos: tuple[ShardedVideo, ...]
    splits: tuple[str, ...]
    shard_mb: int
    block_bytes: int = BLOCK_BYTES
    features: FeatureFacts | None = None


def index_text(index: ShardIndex) -> str:
    """The index as JSON, one video a line."""
    facts = {} if index.features is None else {"features": plain_facts(index.features)}
    head = {
        "format": FORMAT if index.features is None else FEATURES_FORMAT,
        "version": VERSION,
        "shard_mb": index.shard_mb,
        "block_bytes": index.block_bytes,
        "splits": list(index.splits),
        **facts,
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    for name, entries in (
        ("shards", [plain_shard(shard) for shard in index.shards]),
        ("videos", [plain_video(video) for video in index.videos]),
    ):
        lines.append(f'"{name}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def plain_shard(shard: Shard) -> dict[str, Any]:
    """A shard as JSON values."""
    return {"name": shard.name, "bytes": shard.num_bytes, "sha256": shard.sha256}


def plain_video(video: ShardedVideo) -> dict[str, Any]:
    """A video as JSON values."""
    plain: dict[str, Any] = {
        "id": video.video_id,
        "shard": video.shard,
        "frames": video.num_frames,
        "width": video.width,
        "height": video.height,
        "is_folder": video.is_folder,
        "video": [_plain_member(member) for member in video.video],
        "masks": None if video.masks is None else _plain_member(video.masks),
    }
    if video.truth is not None:
        plain["truth"] = _plain_member(video.truth)
    return plain | ({"source": video.source} if video.source else {})


def is_index(text: str, form: str = FORMAT) -> bool:
    """Whether a file of this name is one of ours, be it whole or damaged. form: of videos or of features."""
    return f'"{form}"' in text[:200]


def parse_index(text: str, source: str, form: str = FORMAT) -> ShardIndex:
    """Check every number and name before any is used; `source` names the index in errors. form: as in `is_index`.

    Raises:
        DataError: it is damaged, too new, or points out of its shards.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source} is damaged: {error}") from error
    try:
        return _index(raw, form)
    except DataError as error:
        raise DataError(f"{source} can't be used: {error}") from error


def parse_shard(raw: Any, key: str) -> Shard:
    """One shard of an index. key: names it in errors.

    Raises:
        DataError: a value is missing or impossible.
    """
    name = text_of(raw, "name", key, _SHARD_NAME)
    sha256 = text_of(raw, "sha256", key, re.compile("[0-9a-f]{64}"))
    return Shard(name=name, num_bytes=count_of(raw, "bytes", key), sha256=sha256)


def parse_video(raw: Any, key: str, shards: tuple[Shard, ...], block_bytes: int) -> ShardedVideo:
    """One video of an index. key: names it in errors.

    Raises:
        DataError: a value is missing or impossible.
    """
    video_id = text_of(raw, "id", key, None)
    if "\0" in video_id or any(part in ("", ".", "..") for part in video_id.split("/")):
        raise DataError(f"{key}.id must be a name, with single slashes between its parts, got {shortened(video_id)}")
    number = count_of(raw, "shard", key)
    if number >= len(shards):
        raise DataError(f"{key}.shard must be below {len(shards)}, got {number}")
    limits = (shards[number].num_bytes, block_bytes)
    members = list_of(raw, "video", key)
    is_folder = value_of(raw, "is_folder", key)
    if not isinstance(is_folder, bool) or (len(members) > 1 and not is_folder):
        raise DataError(f"{key}.is_folder must be true or false, and true where there are {len(members)} files")
    masks, truth = value_of(raw, "masks", key), raw.get("truth")
    return ShardedVideo(
        video_id=video_id,
        shard=number,
        num_frames=count_of(raw, "frames", key, least=1),
        width=count_of(raw, "width", key, least=1),
        height=count_of(raw, "height", key, least=1),
        is_folder=is_folder,
        video=tuple(_member(member, f"{key}.video.{place}", *limits) for place, member in enumerate(members)),
        masks=None if masks is None else _member(masks, f"{key}.masks", *limits),
        truth=None if truth is None else _member(truth, f"{key}.truth", *limits),
        source=text_of(raw, "source", key, _SOURCE) if "source" in raw else "",
    )


def _plain_member(member: Member) -> dict[str, Any]:
    checksums = [f"{checksum:08x}" for checksum in member.checksums]
    return {"name": member.name, "offset": member.offset, "bytes": member.num_bytes, "crc32": checksums}


def _index(raw: Any, form: str) -> ShardIndex:
    if value_of(raw, "format", "it") != form:
        raise DataError(f"its format must be '{form}', got {shortened(raw['format'])}")
    if value_of(raw, "version", "it") != VERSION:
        raise DataError(
            f"its version must be {VERSION}, got {shortened(raw['version'])}; a newer slotkeeper may read it"
        )
    block_bytes = count_of(raw, "block_bytes", "it")
    if not _BLOCK_RANGE[0] <= block_bytes <= _BLOCK_RANGE[1]:
        raise DataError(f"its block_bytes must lie in {_BLOCK_RANGE[0]} to {_BLOCK_RANGE[1]}, got {block_bytes}")
    splits = list_of(raw, "splits", "it", least=0)
    if any(split not in _SPLITS for split in splits):
        raise DataError(f"its splits must be any of {', '.join(_SPLITS)}, got {shortened(splits)}")
    shards = tuple(parse_shard(shard, f"shards.{place}") for place, shard in enumerate(list_of(raw, "shards", "it")))
    videos = tuple(
        parse_video(video, f"videos.{place}", shards, block_bytes)
        for place, video in enumerate(list_of(raw, "videos", "it"))
    )
    for kind, names in (("shard", [shard.name for shard in shards]), ("video", [video.video_id for video in videos])):
        if len(set(names)) < len(names):
            raise DataError(f"a {kind} is named twice")
    shard_mb = count_of(raw, "shard_mb", "it", least=1)
    return ShardIndex(
        shards=shards,
        videos=videos,
        splits=tuple(splits),
        shard_mb=shard_mb,
        block_bytes=block_bytes,
        features=parse_facts(value_of(raw, "features", "it"), "features") if form == FEATURES_FORMAT else None,
    )


def _member(raw: Any, key: str, shard_bytes: int, block_bytes: int) -> Member:
    offset, num_bytes = count_of(raw, "offset", key), count_of(raw, "bytes", key)
    if offset + num_bytes > shard_bytes:
        raise DataError(f"{key} reaches byte {offset + num_bytes} of a shard of {shard_bytes} bytes")
    checksums = list_of(raw, "crc32", key, least=0)
    if len(checksums) != -(-num_bytes // block_bytes):
        raise DataError(f"{key}.crc32 must have one checksum for every {block_bytes} bytes, got {len(checksums)}")
    if any(not isinstance(text, str) or not re.fullmatch("[0-9a-f]{8}", text) for text in checksums):
        raise DataError(f"{key}.crc32 must be texts of eight hexadecimal digits, got {shortened(checksums)}")
    return Member(
        name=text_of(raw, "name", key, _MEMBER_NAME),
        offset=offset,
        num_bytes=num_bytes,
        checksums=tuple(int(text, 16) for text in checksums),
    )
