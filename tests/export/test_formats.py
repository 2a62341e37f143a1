"""Result files say exactly what was tracked, in the formats other programs read."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from color_model import BLUE, GREEN, GREY, RED, color_model, draw_squares
from pycocotools import mask as coco_mask

from slotkeeper.data.reader import VideoFrame
from slotkeeper.data.segments import load_segments
from slotkeeper.errors import OutputError
from slotkeeper.export import ResultsWriter, TrackStore, VideoFacts
from slotkeeper.export.coco_vid import write_coco_vid
from slotkeeper.export.masks_npz import MaskSpool
from slotkeeper.tracking import TrackedFrame, Tracker

NTSC = Fraction(30000, 1001)
SIZE = (71, 95)
NUM_FRAMES = 20


def tracked_frames() -> Iterator[TrackedFrame]:
    """Red is hidden behind blue in the middle; green leaves before the end."""
    squares = [
        (RED, 12, lambda t: (2 + 4 * t, 30)),
        (BLUE, 30, lambda t: (34, 20)),
        (GREEN, 10, lambda t: (4, 4) if t < 9 else None),
    ]
    pixels = draw_squares(squares, num_frames=NUM_FRAMES, size=SIZE)
    frames = (VideoFrame(pixels=frame, time=float(index / NTSC), index=index) for index, frame in enumerate(pixels))
    model = color_model([[GREY], [RED], [GREEN], [BLUE]])
    return Tracker(model, size=(72, 96)).track_frames(frames)


@pytest.fixture(scope="module")
def frames() -> list[TrackedFrame]:
    return list(tracked_frames())


@pytest.fixture(scope="module")
def folder(frames: list[TrackedFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    facts = VideoFacts(name="a b.mp4", stem="a b", width=SIZE[1], height=SIZE[0], fps=NTSC, num_frames=len(frames))
    with ResultsWriter(folder, fps=NTSC, size=SIZE) as results:
        for frame in frames:
            results.add(frame)
        results.finish(facts)
    return folder


def test_the_folder_holds_the_results_and_nothing_else(folder: Path):
    names = {"overlay.mp4", "masks.npz", "tracks.json", "tracks.csv", "mot.txt"}
    assert {entry.name for entry in folder.iterdir()} == names


def test_masks_are_the_segments(folder: Path, frames: list[TrackedFrame]):
    with np.load(folder / "masks.npz") as archive:
        masks = archive["masks"]
    assert masks.dtype == np.uint8
    assert np.array_equal(masks, np.stack([frame.segments for frame in frames]))


def test_more_than_255_ids_take_16_bits(tmp_path: Path):
    segments = np.arange(600, dtype=np.int32).reshape(2, 15, 20)
    with MaskSpool(tmp_path / "spool", (15, 20)) as spool:
        for frame in segments:
            spool.add(frame)
        spool.write(tmp_path / "masks.npz")
        with np.load(tmp_path / "masks.npz") as archive:
            assert archive["masks"].dtype == np.uint16
            assert np.array_equal(archive["masks"], segments)
        spool.add(segments[0] + 65_400)  # a stream in which ever new objects come
        spool.write(tmp_path / "many.npz")
    many = load_segments(tmp_path / "many.npz")
    assert many.dtype == np.uint32
    assert np.array_equal(many, [*segments, segments[0] + 65_400])


def test_lists_of_long_videos_with_many_objects_hold_no_frames_in_which_these_are_not_there(
    frames: list[TrackedFrame], folder: Path, tmp_path: Path
):
    facts = VideoFacts(name="a b.mp4", stem="a b", width=SIZE[1], height=SIZE[0], fps=NTSC, num_frames=len(frames))
    with TrackStore(tmp_path / "store") as store:
        for frame in frames:
            store.add(frame)
        write_coco_vid(tmp_path / "tracks.json", store, facts, max_entries=3 * NUM_FRAMES - 1)
    whole, sparse = (json.loads((place / "tracks.json").read_text()) for place in (folder, tmp_path))
    assert whole["info"]["lists"] == "one entry per frame of the video"
    assert sparse["info"]["lists"] == "from each object's first frame to its last"
    for short, full in zip(sparse["annotations"], whole["annotations"], strict=True):
        assert full["first_frame"] == 0
        before = short["first_frame"]
        for key in ("segmentations", "bboxes", "areas", "scores"):
            after = NUM_FRAMES - before - len(short[key])
            assert [None] * before + short[key] + [None] * after == full[key]
            assert None not in (short[key][0], short[key][-1])
    assert any(len(short["areas"]) < NUM_FRAMES for short in sparse["annotations"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_coco_masks_boxes_and_areas_decode_to_the_segments(folder: Path, frames: list[TrackedFrame]):
    written = json.loads((folder / "tracks.json").read_text())
    (video,) = written["videos"]
    assert (video["width"], video["height"], video["length"]) == (95, 71, NUM_FRAMES)
    assert len(video["file_names"]) == NUM_FRAMES
    assert [annotation["id"] for annotation in written["annotations"]] == [1, 2, 3]
    for annotation in written["annotations"]:
        assert annotation["category_id"] == written["categories"][0]["id"]
        for frame, encoded, box, area, score in zip(
            frames, *(annotation[key] for key in ("segmentations", "bboxes", "areas", "scores")), strict=True
        ):
            mask = frame.segments == annotation["id"]
            if encoded is None:
                assert not mask.any()
                assert box is area is score is None
                continue
            assert isinstance(encoded["counts"], str)
            assert np.array_equal(coco_mask.decode(encoded), mask)
            assert coco_mask.toBbox(encoded).tolist() == box
            assert area == mask.sum()
            assert 0 < score <= 1


def test_csv_has_one_line_per_object_and_frame(folder: Path, frames: list[TrackedFrame]):
    with (folder / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(frame, tracked) for frame in frames for tracked in frame.objects]
    assert list(rows[0]) == ["frame", "time", "id", "slot", "x0", "y0", "x1", "y1", "area", "confidence"]
    assert len(rows) == len(expected)
    for row, (frame, tracked) in zip(rows, expected, strict=True):
        assert (int(row["frame"]), int(row["id"]), int(row["slot"])) == (frame.index, tracked.id, tracked.slot)
        assert tuple(int(row[key]) for key in ("x0", "y0", "x1", "y1")) == tracked.box
        assert int(row["area"]) == tracked.area
        assert float(row["time"]) == pytest.approx(frame.index * 1001 / 30000, abs=1e-6)
        assert float(row["confidence"]) == pytest.approx(tracked.confidence, abs=1e-4)


def test_mot_counts_frames_from_one_and_has_ten_columns(folder: Path, frames: list[TrackedFrame]):
    rows = [line.split(",") for line in (folder / "mot.txt").read_text().splitlines()]
    assert {len(row) for row in rows} == {10}
    assert (min(int(row[0]) for row in rows), max(int(row[0]) for row in rows)) == (1, NUM_FRAMES)
    first = frames[0].objects[0]
    x0, y0, x1, y1 = first.box
    assert [int(value) for value in rows[0][:6]] == [1, first.id, x0, y0, x1 - x0, y1 - y0]
    assert rows[0][7:] == ["-1", "-1", "-1"]


def test_the_overlay_is_h264_at_the_source_s_size_and_rate(folder: Path):
    with av.open(str(folder / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (96, 72)
        assert stream.average_rate == NTSC
    assert len(decoded) == NUM_FRAMES


def test_repeated_time_stamps_do_not_break_the_overlay(frames: list[TrackedFrame], tmp_path: Path):
    facts = VideoFacts(name="a", stem="a", width=95, height=71, fps=NTSC, num_frames=3)
    with ResultsWriter(tmp_path, fps=NTSC, size=SIZE) as results:
        for frame in frames[:3]:
            results.add(replace(frame, time=0.5))
        results.finish(facts)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


def test_an_error_leaves_no_file(frames: list[TrackedFrame], tmp_path: Path):
    def interrupted() -> None:
        with ResultsWriter(tmp_path, fps=NTSC, size=SIZE) as results:
            results.add(frames[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(frames: list[TrackedFrame], tmp_path: Path):
    with TrackStore(tmp_path / "store") as store:
        store._database.execute("PRAGMA max_page_count = 8")
        many = (replace(frame, index=index) for index, frame in enumerate(frames * 20))
        with pytest.raises(OutputError, match="full"):
            deque(map(store.add, many), maxlen=0)


def test_summaries_count_what_shows(folder: Path, frames: list[TrackedFrame], tmp_path: Path):
    with TrackStore(tmp_path / "store") as store:
        for frame in frames:
            store.add(frame)
        by_id = {summary.id: summary for summary in store.summaries()}
        red = next(tracked.id for tracked in frames[0].objects if tracked.slot == 1)
        green = next(tracked.id for tracked in frames[0].objects if tracked.slot == 2)
        assert (by_id[green].first, by_id[green].last, by_id[green].num_visible) == (0, 8, 9)
        assert store.num_gaps(red) == 1
        assert store.num_gaps(green) == 0
        halves = list(store.bins(green, num_frames=NUM_FRAMES, num_bins=2))
        assert [entry.bin for entry in halves] == [0]
        assert len(list(store.summaries(limit=2))) == 2
        assert green not in {summary.id for summary in store.summaries(limit=2)}


def test_memory_does_not_grow_while_results_are_written(frames: list[TrackedFrame], tmp_path: Path):
    def peak(num_frames: int) -> int:
        facts = VideoFacts(name="a", stem="a", width=95, height=71, fps=NTSC, num_frames=num_frames)
        tracemalloc.start()
        with ResultsWriter(tmp_path, fps=NTSC, size=SIZE) as results:
            for index in range(num_frames):
                results.add(replace(frames[index % NUM_FRAMES], index=index, time=float(index / NTSC)))
            results.finish(facts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(200) < peak(40) * 1.1
