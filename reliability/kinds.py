"""The kinds of input that are mutated, and how each goes through the product."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Protocol

from reliability import originals
from reliability.mask_files import mutated_archive, odd_picture
from reliability.mutations import Rng, mutated_bytes, mutated_data, with_right_checksums
from reliability.outcomes import BrokenPromiseError, Outcome, attempt, run_command
from slotkeeper.data import ClipDataset, VideoReader, find_videos, load_segments
from slotkeeper.track_files import RESULT_FILES


class Kind(Protocol):
    """One kind of input. Making one writes the whole files into a folder, unless they are there."""

    def __init__(self, folder: Path): ...

    def write(self, rng: Rng, case: Path) -> str:
        """Write a mutated input into the empty folder `case`; returns what was done."""

    def feed(self, case: Path, out: Path) -> Outcome:
        """Put it through the product; results go into `out`. What is raised is a finding."""


class Videos:
    """Video files and folders of pictures, through tracking, inspection, and the reading that training does."""

    def __init__(self, folder: Path):
        self._model = originals.write_run(folder / "trained")
        self._files = originals.write_videos(folder / "videos")
        self._pictures = {suffix: originals.write_pictures(folder / suffix, suffix) for suffix in ("png", "jpg")}

    def write(self, rng: Rng, case: Path) -> str:
        if rng.random() < 0.15:
            return self._write_pictures(rng, case)
        place, other = rng.integers(len(self._files), size=2)
        source = self._files[place]
        data, done = mutated_bytes(rng, source.read_bytes(), self._files[other].read_bytes())
        (case / f"clip{source.suffix}").write_bytes(data)
        return f"{source.name}: {done}"

    def _write_pictures(self, rng: Rng, case: Path) -> str:
        suffix = str(rng.choice(["png", "jpg"]))
        (case / "clip").mkdir()
        pictures = self._pictures[suffix]
        chosen, done = int(rng.integers(len(pictures))), ""
        for number, path in enumerate(pictures):
            data = path.read_bytes()
            if number == chosen:
                other = self._pictures["jpg" if suffix == "png" else "png"][0].read_bytes()
                data, done = mutated_bytes(rng, data, other)
                data = with_right_checksums(data) if suffix == "png" and rng.random() < 0.7 else data
            (case / "clip" / path.name).write_bytes(data)
        return f"picture {chosen}.{suffix}: {done}"

    def feed(self, case: Path, out: Path) -> Outcome:
        clip = next(case.iterdir())
        outcome = run_command("track", clip, "--model", self._model, "--out", out, "--quiet")
        if outcome is not Outcome.REFUSED:
            check_results(out / "clip")
        attempt(lambda: _read_as_training_does(clip))
        attempt(lambda: draw_clips(case))
        run_command("data", "inspect", case, "--sheet", out / "sheet.png")
        return outcome


def check_results(folder: Path) -> None:
    """Results must be whole and readable, whatever the video was."""
    missing = [name for name in RESULT_FILES if not (folder / name).is_file()]
    if missing:
        raise BrokenPromiseError(f"results without {missing}")
    tracks = json.loads((folder / "tracks.json").read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    segments = load_segments(folder / "masks.npz")
    overlay = VideoReader(folder / "overlay.mp4")
    if not len(segments) == overlay.count_frames() == tracks["videos"][0]["length"]:
        raise BrokenPromiseError("result files differ in their number of frames")


def _refuse_constant(name: str) -> None:
    raise BrokenPromiseError(f"{name} in a JSON file")


def _read_as_training_does(clip: Path) -> None:
    reader = VideoReader(clip)
    count = reader.count_frames()
    frames = reader.read(sorted({0, count // 2, max(0, count - 1)}))
    if any(frame.pixels.shape != (reader.info.height, reader.info.width, 3) for frame in frames):
        raise BrokenPromiseError("a frame of another size than the video's")


def draw_clips(folder: Path) -> None:
    """Preload a folder's videos and draw a batch of one clip."""
    clips = ClipDataset(find_videos(folder), clip_length=2, size=(32, 32), cache_bytes=10**6)
    clips.preload(num_threads=1)
    clips.collate([clips.sample(seed=0, epoch=0, index=0)])


class Masks:
    """Masks as npz and PNG files, through scoring as prediction and as truth, and beside a video."""

    def __init__(self, folder: Path):
        self._archive, self._pictures = originals.write_masks(folder / "whole")
        self._videos = originals.write_videos(folder / "videos")

    def write(self, rng: Rng, case: Path) -> str:
        if rng.random() < 0.35:
            (case / "masks").mkdir()
            chosen, done = int(rng.integers(4)), ""
            for number in range(4):
                data = (self._pictures / f"{number}.png").read_bytes()
                if number == chosen and rng.random() < 0.4:
                    data, done = odd_picture(rng)
                elif number == chosen:
                    data, done = mutated_bytes(rng, data, self._archive.read_bytes())
                    data = with_right_checksums(data) if rng.random() < 0.7 else data
                (case / "masks" / f"{number}.png").write_bytes(data)
            return f"mask {chosen}.png: {done}"
        if rng.random() < 0.5:
            data, done = mutated_archive(rng)
        else:
            data, done = mutated_bytes(rng, self._archive.read_bytes(), (self._pictures / "0.png").read_bytes())
        (case / "masks.npz").write_bytes(data)
        return f"masks.npz: {done}"

    def feed(self, case: Path, out: Path) -> Outcome:
        masks = next(case.iterdir())
        whole = self._pictures if masks.is_dir() else self._archive
        outcome = run_command("score", masks, whole, "--json", out / "scores.json")
        run_command("score", whole, masks)
        if outcome is Outcome.ACCEPTED:
            json.loads((out / "scores.json").read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        beside = out / "with-video"
        beside.mkdir()
        shutil.copy(self._videos[0], beside / "video.mp4")
        (beside / masks.name).symlink_to(masks)
        run_command("data", "inspect", beside, "--sheet", out / "sheet.png")
        return outcome


class Starts:
    """Start files, through tracking."""

    def __init__(self, folder: Path):
        self._model = originals.write_run(folder / "trained")
        self._clip = originals.write_videos(folder / "videos")[0]
        self._masks = originals.write_masks(folder / "masks")[1] / "0.png"

    def write(self, rng: Rng, case: Path) -> str:
        shutil.copy(self._masks, case / "first.png")
        boxes = {"boxes": [[4, 8, 18, 22], [44.5, 40, 58, 54]]}
        starts = (boxes, {"points": [[10, 12], [50.5, 44]]}, {"masks": "first.png"}, {"videos": {"h264": boxes}})
        start = starts[int(rng.integers(len(starts)))]
        if rng.random() < 0.7:
            changed, done = mutated_data(rng, start)
            data = json.dumps(changed).encode()
        else:
            data, done = mutated_bytes(rng, json.dumps(start).encode(), self._masks.read_bytes())
        (case / "start.json").write_bytes(data)
        return done

    def feed(self, case: Path, out: Path) -> Outcome:
        start = case / "start.json"
        outcome = run_command("track", self._clip, "--start", start, "--model", self._model, "--out", out, "--quiet")
        if outcome is not Outcome.REFUSED:
            check_results(out / self._clip.stem)
        return outcome
