"""What is in a folder of videos: sizes, lengths, broken files, masks, and a picture of it all."""

from __future__ import annotations

import colorsys
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image, ImageDraw
from tqdm import tqdm

from slotkeeper.data.folders import find_videos
from slotkeeper.data.layouts import VideoItem
from slotkeeper.data.media import MediaPath, path_or_url
from slotkeeper.data.reader import VideoReader
from slotkeeper.data.resizing import resize_frames, resize_segments
from slotkeeper.data.segments import check_segments_fit, load_segments
from slotkeeper.data.shards import open_shards, shard_problem
from slotkeeper.data.truth import TRUTH_KINDS, TruthKind, check_truth
from slotkeeper.errors import DataError, counted
from slotkeeper.files import atomic_path

_MASK_OPACITY = 0.5
_CAPTION_HEIGHT = 14
_MARGIN = 2


@dataclass(frozen=True, kw_only=True)
class VideoReport:
    """One video, decoded from end to end.

    problem: why it can't be used, or None. mask_problem: why its masks can't be used, or None. num_objects: distinct
    labels beside background; None without usable masks. truth: which of flow and depth it has. truth_problem: why that
    can't be used, or None. duration: seconds.
    """

    item: VideoItem
    width: int = 0
    height: int = 0
    num_frames: int = 0
    fps: float = 0.0
    duration: float = 0.0
    num_objects: int | None = None
    problem: str | None = None
    mask_problem: str | None = None
    truth: tuple[TruthKind, ...] = ()
    truth_problem: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences on all that can't be used."""
        found = (self.problem, self.mask_problem, self.truth_problem)
        return tuple(problem for problem in found if problem is not None)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All videos of a path, in the order of their ids.

    damaged_shards: place and problem of each shard whose bytes are not those that its index tells of.
    """

    path: Path | str
    videos: tuple[VideoReport, ...]
    damaged_shards: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> tuple[VideoReport, ...]:
        """Videos that can be decoded from end to end."""
        return tuple(video for video in self.videos if video.problem is None)

    @property
    def broken(self) -> tuple[VideoReport, ...]:
        """Videos that can't, each with its `problem`."""
        return tuple(video for video in self.videos if video.problem is not None)

    @property
    def mismatched(self) -> tuple[VideoReport, ...]:
        """Videos whose masks can't be used, each with its `mask_problem`."""
        return tuple(video for video in self.videos if video.mask_problem is not None)

    @property
    def untrue(self) -> tuple[VideoReport, ...]:
        """Videos whose flow or depth can't be used, each with its `truth_problem`."""
        return tuple(video for video in self.videos if video.truth_problem is not None)


def inspect_path(path: str | Path, *, num_threads: int | None = None, progress: bool = False) -> Inspection:
    """Decode every video below `path`, read masks, flow and depth; of shards, compare each with its index too.

    progress: show a bar on stderr.

    Raises:
        DataError: the path is missing or holds no video.
    """
    path = path_or_url(path)
    items = find_videos(path)
    damaged = _damaged_shards(path, progress=progress)
    with ThreadPoolExecutor(max_workers=num_threads or min(8, os.cpu_count() or 1)) as pool:
        reports = pool.map(_inspect_item, items)
        bar = tqdm(reports, total=len(items), desc="inspecting", unit="video", disable=not progress)
        return Inspection(path=path, videos=tuple(bar), damaged_shards=damaged)


def describe(inspection: Inspection) -> str:
    """The inspection as text of a few lines, ending without a line break."""
    whole, broken, mismatched = inspection.whole, inspection.broken, inspection.mismatched
    lines = [f"{inspection.path}: {counted(len(inspection.videos), 'video')}, {len(broken)} broken"]
    if whole:
        frames = [video.num_frames for video in whole]
        seconds = sum(video.duration for video in whole)
        lines.append(f"  frames    {sum(frames)} in {seconds:.1f} s; {_span(frames)} a video")
        lines.append(f"  sizes     {_listed([f'{video.width}x{video.height}' for video in whole])}")
        lines.append(f"  rates     {_listed([f'{video.fps:.4g} fps' for video in whole])}")
    with_masks = [video for video in inspection.videos if video.num_objects is not None]
    none = sum(video.item.masks is None for video in inspection.videos)
    lines.append(f"  masks     {len(with_masks)} usable, {len(mismatched)} not, {none} without")
    if with_masks:
        lines.append(f"  objects   {_span([video.num_objects or 0 for video in with_masks])} a video")
    if any(video.item.truth is not None for video in inspection.videos):
        counts = ", ".join(f"{sum(kind in video.truth for video in whole)} with {kind}" for kind in TRUTH_KINDS)
        none = sum(video.item.truth is None for video in inspection.videos)
        lines.append(f"  truth     {counts}, {len(inspection.untrue)} not usable, {none} without")
    lines += [f"  shard     {problem}" for _, problem in inspection.damaged_shards]
    lines += [f"  broken    {video.problem}" for video in broken]
    lines += [f"  mismatch  {video.mask_problem}" for video in mismatched]
    lines += [f"  mismatch  {video.truth_problem}" for video in inspection.untrue]
    return "\n".join(lines)


def contact_sheet(
    inspection: Inspection, *, num_videos: int = 12, num_frames: int = 8, tile_height: int = 96
) -> UInt8[np.ndarray, "h w 3"]:
    """Frames over time, one row a video, evenly chosen among the whole ones; masks are laid over in colours.

    Raises:
        DataError: no video can be decoded.
    """
    whole = inspection.whole
    if not whole:
        raise DataError(f"no video in {inspection.path} can be decoded, so there is nothing to show")
    places = sorted({round(place) for place in np.linspace(0, len(whole) - 1, min(num_videos, len(whole)))})
    rows = [_sheet_row(whole[place], num_frames, tile_height) for place in places]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def save_contact_sheet(path: str | Path, inspection: Inspection, *, num_videos: int = 12, num_frames: int = 8) -> None:
    """Write `contact_sheet` as PNG, atomically.

    Raises:
        DataError: no video can be decoded.
        OutputError: can't be written.
    """
    sheet = contact_sheet(inspection, num_videos=num_videos, num_frames=num_frames)
    with atomic_path(Path(path)) as partial:
        Image.fromarray(sheet).save(partial, format="PNG")


def _damaged_shards(path: Path | str, *, progress: bool) -> tuple[tuple[str, str], ...]:
    shards = open_shards(path)
    if shards is None:
        return ()
    names = [shards.storage.place(shard.name) for shard in shards.index.shards]
    bar = tqdm(shards.index.shards, desc="checking shards", unit="shard", disable=not progress)
    problems = [shard_problem(shards.storage, shard) for shard in bar]
    return tuple((name, problem) for name, problem in zip(names, problems, strict=True) if problem is not None)


def _inspect_item(item: VideoItem) -> VideoReport:
    report = VideoReport(item=item)
    try:
        reader = VideoReader(item.video, on_truncated="keep")
        info = reader.info
        num_frames, end = 0, 0.0
        for frame in reader:
            num_frames, end = num_frames + 1, frame.time
        report = replace(
            report,
            width=info.width,
            height=info.height,
            num_frames=num_frames,
            fps=float(info.fps),
            duration=end + float(1 / info.fps),
            problem=reader.problem,
        )
    except DataError as error:
        return replace(report, problem=str(error))
    report = report if item.masks is None else _inspect_masks(report, item.masks)
    return report if item.truth is None else _inspect_truth(report, item.truth)


def _inspect_truth(report: VideoReport, truth: MediaPath) -> VideoReport:
    facts = {"num_frames": report.num_frames, "height": report.height, "width": report.width}
    try:
        return replace(report, truth=check_truth(truth, video=report.item.video, **facts))
    except DataError as error:
        return replace(report, truth_problem=str(error))


def _inspect_masks(report: VideoReport, masks: MediaPath) -> VideoReport:
    try:
        segments = load_segments(masks)
        check_segments_fit(
            segments.shape,
            masks,
            num_frames=report.num_frames,
            height=report.height,
            width=report.width,
            video=report.item.video,
        )
    except DataError as error:
        return replace(report, mask_problem=str(error))
    return replace(report, num_objects=int(np.count_nonzero(np.bincount(segments.ravel())[1:])))


def _sheet_row(report: VideoReport, num_frames: int, tile_height: int) -> UInt8[np.ndarray, "h w 3"]:
    last = report.num_frames - 1
    indices = sorted({round(place) for place in np.linspace(0, last, min(num_frames, report.num_frames))})
    frames = VideoReader(report.item.video).read(indices)
    size = (tile_height, max(1, round(report.width * tile_height / report.height)))
    tiles = resize_frames(np.stack([frame.pixels for frame in frames]), size)
    if report.item.masks is not None and report.num_objects is not None:
        segments = resize_segments(load_segments(report.item.masks)[indices], size)
        tiles = _blend(tiles, segments)
    tiles = np.pad(tiles, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
    strip = np.concatenate(list(tiles), axis=1)
    caption = Image.new("RGB", (strip.shape[1], _CAPTION_HEIGHT))
    length = counted(report.num_frames, "frame")
    text = f"{report.item.video_id}  {report.width}x{report.height}  {length}  {report.fps:.4g} fps"
    ImageDraw.Draw(caption).text((_MARGIN, 1), text.encode("ascii", "replace").decode(), fill=(255, 255, 255))
    return np.concatenate([np.asarray(caption), strip])


def _blend(frames: UInt8[np.ndarray, "t h w 3"], segments: UInt[np.ndarray, "t h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """Lay each label's colour over the frames; neighbours in number get hues far apart (golden ratio)."""
    labels = np.arange(int(segments.max()) + 1)
    colours = np.array([colorsys.hsv_to_rgb((label * 0.618034) % 1.0, 1.0, 1.0) for label in labels]) * 255.0
    mixed = (1.0 - _MASK_OPACITY) * frames + _MASK_OPACITY * colours[segments]
    return np.where(segments[..., None] > 0, mixed, frames).astype(np.uint8)


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _listed(names: Sequence[str], limit: int = 5) -> str:
    """Distinct names with their counts, the most frequent first."""
    ranked = Counter(names).most_common()
    shown = ", ".join(f"{name} ({count})" for name, count in ranked[:limit])
    return shown if len(ranked) <= limit else f"{shown} and {len(ranked) - limit} more"
