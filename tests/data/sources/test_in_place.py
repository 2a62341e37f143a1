"""Data sets read where they lie give what converting them and reading the result gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.container import OutputContainer
from av.video.stream import VideoStream
from color_model import BLUE, GREY, RED, WHITE, color_model
from PIL import Image
from public_sets import (
    moving_squares,
    write_cells,
    write_clevrer,
    write_coco_vis,
    write_davis,
    write_json,
    write_palette_masks,
    write_pictures,
)

from slotkeeper.cli import main
from slotkeeper.data import (
    ClipDataset,
    VideoItem,
    VideoReader,
    convert_dataset,
    data_fingerprint,
    find_videos,
    load_segments,
    load_video,
    make_shards,
    split_videos,
    writer,
)
from slotkeeper.data.conversion import video_folder
from slotkeeper.data.inspect import inspect_path
from slotkeeper.data.segments import segments_shape
from slotkeeper.data.writer import VideoWriter
from slotkeeper.errors import DataError, VideoError
from slotkeeper.evaluation import evaluate


def write_ovis(root: Path) -> Path:
    source = write_coco_vis(root, is_compressed=False)
    (source / "train.json").rename(source / "annotations_train.json")
    return source


def write_mose(root: Path) -> Path:
    frames, labels = moving_squares()
    labels[1, 0, :5] = 255  # nobody said what it is
    write_pictures(root / "train/JPEGImages/00a1", frames, suffix=".jpg")
    write_palette_masks(root / "train/Annotations/00a1", labels)
    return root


SETS = {
    "clevrer": write_clevrer,
    "ctc": write_cells,
    "davis16": write_davis,
    "davis17": write_davis,
    "mose": write_mose,
    "ovis": write_ovis,
    "ytvis19": write_coco_vis,
    "ytvis21": write_coco_vis,
}


class LosslessWriter(VideoWriter):
    """Keeps every pixel, so that what is left to differ is how the data set is read."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(path, **settings)
        self._options |= {"crf": "0"}

    def _add_stream(self, container: OutputContainer) -> VideoStream:
        stream = container.add_stream("libx264rgb", rate=self._fps, options=self._options)
        stream.height, stream.width, stream.pix_fmt = *self._size, "rgb24"
        stream.codec_context.time_base = 1 / (self._fps * writer._TICKS_PER_FRAME)
        return stream

    def write(self, pixels: np.ndarray, *, time: float | None = None) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.duration = self.num_frames * writer._TICKS_PER_FRAME, writer._TICKS_PER_FRAME
        frame.time_base = 1 / (self._fps * writer._TICKS_PER_FRAME)
        self._encode(frame)
        self.num_frames += 1


@pytest.fixture(params=sorted(SETS))
def both(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[VideoItem], list[VideoItem]]:
    """The data set's name with its folder, its videos where they lie, and the same ones converted without loss."""
    monkeypatch.setattr(video_folder, "VideoWriter", LosslessWriter)
    name: str = request.param
    source = SETS[name](tmp_path / "source")  # type: ignore[operator]
    converted = convert_dataset(name, source, tmp_path / "out", show_progress=False)
    assert converted.skipped == ()
    return f"{name}:{source}", find_videos(f"{name}:{source}"), find_videos(converted.folder)


def frames_of(item: VideoItem) -> np.ndarray:
    return np.stack([frame.pixels for frame in VideoReader(item.video)])


def test_videos_and_masks_are_those_of_a_conversion(both: tuple[str, list[VideoItem], list[VideoItem]]):
    name, found, converted = both
    assert [item.video_id for item in found] == [item.video_id for item in converted]
    for item, other in zip(found, converted, strict=True):
        frames = frames_of(item)
        np.testing.assert_array_equal(frames, frames_of(other))
        reader, again = VideoReader(item.video), VideoReader(other.video)
        assert reader.info.fps == again.info.fps
        assert reader.count_frames() == len(frames)
        for frame, same in zip(reader.read([1, 3]), again.read([1, 3]), strict=True):
            np.testing.assert_array_equal(frame.pixels, same.pixels)
            assert frame.time == pytest.approx(same.time)
        assert (item.masks is None) == (other.masks is None)
        if item.masks is not None and other.masks is not None:
            segments = load_segments(item.masks)
            np.testing.assert_array_equal(segments, load_segments(other.masks))
            assert segments_shape(item.masks) == segments.shape
    sides, others = split_videos(name), split_videos(Path(name.partition(":")[2]).with_name("out"))
    assert [[item.video_id for item in side] for side in sides.values()] == [
        [item.video_id for item in side] for side in others.values()
    ]


def test_scores_are_those_of_a_conversion(both: tuple[str, list[VideoItem], list[VideoItem]]):
    name, found, converted = both
    kind = name.partition(":")[0]
    gray, coloured = [[(0, 0, 0)], [WHITE]], [[GREY], [RED], [BLUE]]
    model = color_model(gray if kind == "ctc" else coloured, 1)
    size = (16, 160) if kind == "clevrer" else (16, 24)
    scores, others = (evaluate(model, items, size=size).as_json() for items in (found, converted))
    for result in (scores, others):
        del result["frames_per_second_evaluation"]
    assert scores["counts"]["objects"] > 0
    assert scores == others


def test_clips_of_training_are_those_of_a_conversion(both: tuple[str, list[VideoItem], list[VideoItem]]):
    _, found, converted = both
    found, converted = ([item for item in items if item.masks is not None] for items in (found, converted))
    for cache_bytes in (0, 2**24):
        for index in range(len(found)):
            clip, same = (
                ClipDataset(
                    items, clip_length=2, size=(16, 16), with_segments=True, cache_bytes=cache_bytes, fit="random_crop"
                ).sample(seed=3, epoch=0, index=index)
                for items in (found, converted)
            )
            np.testing.assert_array_equal(clip.frames, same.frames)
            np.testing.assert_array_equal(clip.segments, same.segments)
            np.testing.assert_allclose(clip.times, same.times)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"file_names": ["0a7a/00000.jpg", "../../../outside.jpg"]}, "is no file name"),
        ({"file_names": ["0a7a/00000.jpg", "/etc/passwd"]}, "is no file name"),
        ({"file_names": ["0a7a/link.jpg"]}, "leads out"),
        ({"file_names": ["0a7a/nowhere.jpg"]}, "nowhere.jpg"),
        ({"file_names": []}, "names 0 frames"),
        ({"file_names": None}, "names 0 frames"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_list_that_lies_about_frames_is_one_sentence(changes: dict[str, Any], problem: str, tmp_path: Path):
    source = write_coco_vis(tmp_path / "source", **changes)
    (tmp_path / "outside.jpg").write_bytes((source / "train/JPEGImages/0a7a/00000.jpg").read_bytes())
    (source / "train/JPEGImages/0a7a/link.jpg").symlink_to(tmp_path / "outside.jpg")
    broken, whole = find_videos(f"ytvis19:{source}")
    assert len(frames_of(whole)) == 4
    with pytest.raises(VideoError, match=problem) as caught:
        VideoReader(broken.video)
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)


def rewritten(path: Path, change: Callable[[Any], None]) -> None:
    listed = json.loads(path.read_text())
    change(listed)
    write_json(path, listed)


def shorten(listing: Any) -> None:
    listing["annotations"][0]["segmentations"].pop()


def overfill(listing: Any) -> None:
    listing["annotations"][1]["segmentations"][0] = {"size": [16, 24], "counts": [1, 10**6]}


def make_none_sizes(proposals: Any) -> None:
    proposals["frames"][0]["objects"][0]["mask"] = 5


@pytest.mark.parametrize(
    ("name", "file", "change", "problem"),
    [
        ("ytvis21", "train.json", shorten, "object 1 should have 4 'segmentations'"),
        ("ytvis21", "train.json", overfill, "object 2: a mask's runs don't fit"),
        ("clevrer", "derender_proposals/proposal_00000.json", make_none_sizes, "a mask has no size"),
    ],
)
def test_damaged_masks_cost_their_video_in_one_sentence(
    name: str, file: str, change: Callable[[Any], None], problem: str, tmp_path: Path
):
    source = SETS[name](tmp_path / "source")  # type: ignore[operator]
    rewritten(source / file, change)
    item = find_videos(f"{name}:{source}")[0]
    with pytest.raises(DataError, match=problem) as caught:
        load_video(item, (16, 16))
    assert str(source / file) in str(caught.value)
    inspection = inspect_path(f"{name}:{source}")
    assert [video.mask_problem is None for video in inspection.videos] == [False, True]


def test_damaged_pictures_of_cells_are_one_sentence(tmp_path: Path):
    source = write_cells(tmp_path / "source")
    (source / "01/t002.tif").write_bytes((source / "01/t002.tif").read_bytes()[:-100])
    (item,) = find_videos(f"ctc:{source}")
    with pytest.raises(VideoError, match=r"t002\.tif can't be read"):
        frames_of(item)
    assert inspect_path(f"ctc:{source}").broken


def test_cells_whose_markers_are_of_other_pictures_are_refused(tmp_path: Path):
    source = write_cells(tmp_path / "source")
    (source / "01_GT/TRA/man_track003.tif").unlink()
    (item,) = find_videos(f"ctc:{source}")
    with pytest.raises(DataError, match=r"markers of 3 pictures, but .* has 4"):
        load_video(item, (16, 16))


def test_a_video_of_clevrer_without_proposals_has_no_masks(tmp_path: Path):
    source = write_clevrer(tmp_path / "source")
    (source / "derender_proposals/proposal_10000.json").unlink()
    assert [item.masks is None for item in find_videos(f"clevrer:{source}")] == [False, True]


@pytest.mark.parametrize("name", ["clevrer", "ctc", "ytvis19"])
def test_a_folder_of_something_else_says_what_was_expected(name: str, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="holds no such data set; expected"):
        find_videos(f"{name}:{tmp_path}")


def test_ids_that_lead_elsewhere_or_come_twice_are_refused(tmp_path: Path):
    source = write_coco_vis(tmp_path / "source", file_names=["../../x/0.jpg"])
    with pytest.raises(DataError, match="can't be the name"):
        find_videos(f"ytvis19:{source}")
    write_coco_vis(source)
    rewritten(source / "train.json", lambda listing: listing["videos"].append(listing["videos"][0]))
    with pytest.raises(DataError, match="another video is called train/0a7a too"):
        find_videos(f"ytvis19:{source}")


def test_the_content_of_a_set_has_one_name_wherever_it_lies(tmp_path: Path):
    marks = {data_fingerprint(find_videos(f"ytvis19:{write_coco_vis(tmp_path / place)}")) for place in ("a", "b/c")}
    assert len(marks) == 1
    Image.new("RGB", (24, 16)).save(tmp_path / "a/train/JPEGImages/0a7a/00003.jpg")
    assert data_fingerprint(find_videos(f"ytvis19:{tmp_path / 'a'}")) not in marks


def test_shards_are_made_of_folders_of_pictures_and_refused_where_files_alone_do_not_say_enough(tmp_path: Path):
    shards = make_shards(f"davis16:{write_davis(tmp_path / 'davis')}", tmp_path / "shards", show_progress=False)
    (first, _) = find_videos(shards.folder)
    np.testing.assert_array_equal(load_segments(first.masks), moving_squares()[1] > 0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="can't be packed as it lies: convert its data set"):
        make_shards(f"ctc:{write_cells(tmp_path / 'cells')}", tmp_path / "none", show_progress=False)


def test_the_commands_take_them(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    source = write_coco_vis(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    assert main(["data", "inspect", f"ytvis19:{source}"]) == 0
    said = capsys.readouterr().out
    assert "2 videos, 0 broken" in said
    assert "6 fps (2)" in said
    assert "1 usable, 0 not, 1 without" in said
    assert main(["track", f"ctc:{write_cells(tmp_path / 'cells')}", "--model", "default", "--out", "tracks"]) == 0
    assert (tmp_path / "tracks/01/masks.npz").is_file()
