"""Several inputs, broken ones among them; results are whole or absent."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path, PosixPath

import numpy as np
import pytest
from color_model import BLUE, GREY, RED, color_model, draw_squares, write_h264
from numbered_videos import write_images
from PIL import Image
from streams import video_bytes

from slotkeeper.data import Start
from slotkeeper.errors import DataError, OutputError, VideoError
from slotkeeper.export import ResultsWriter
from slotkeeper.files import folder_lock
from slotkeeper.result_names import name_results
from slotkeeper.track_files import RESULT_FILES, track_videos
from slotkeeper.tracking import TrackedFrame, Tracker


def tracker() -> Tracker:
    return Tracker(color_model([[GREY], [RED], [BLUE]]), size=(48, 64), name="colours")


def write_video(path: Path, num_frames: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = draw_squares([(RED, 16, lambda t: (2 + 3 * t, 20))], num_frames=num_frames, size=(48, 64))
    return write_h264(path, pixels)


def truncated(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 60, (50, 48, 64, 3), dtype=np.uint8)
    pixels = np.maximum(draw_squares([(RED, 16, lambda t: (20, 20))], num_frames=50, size=(48, 64)), noise)
    whole = write_h264(path.with_name("whole.mkv"), pixels)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def test_a_folder_of_videos_stands_for_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_video(tmp_path / "clips" / "deep" / "one.mp4", 3)
    stills = write_images(tmp_path / "clips" / "stills", 2)
    (tmp_path / "empty").mkdir()
    summary = track_videos(
        [tmp_path / "clips", tmp_path / "empty", stills], tracker(), tmp_path / "out", show_progress=False
    )
    assert {video.folder.name: video.num_frames for video in summary.tracked} == {"one": 3, "stills": 2}
    assert summary.exit_code == 3
    assert f"skipped: no video in {tmp_path / 'empty'}" in capsys.readouterr().err
    with pytest.raises(VideoError, match=r"^no video in .*empty"):
        track_videos([tmp_path / "empty"], tracker(), tmp_path / "out", show_progress=False)


def test_each_video_gets_its_folder_of_whole_files(tmp_path: Path):
    paths = [write_video(tmp_path / "one.mp4"), write_video(tmp_path / "two.mkv", 4)]
    summary = track_videos(paths, tracker(), tmp_path / "out", show_progress=False)
    alone = track_videos(str(paths[0]), tracker(), tmp_path / "alone", show_progress=False)
    assert [video.folder.name for video in alone.tracked] == ["one"]
    assert summary.exit_code == 0
    assert [(video.num_frames, video.num_objects) for video in summary.tracked] == [(6, 1), (4, 1)]
    assert summary.frames_per_second > 0
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"one", "two"}
    for name in ("one", "two"):
        assert {entry.name for entry in (tmp_path / "out" / name).iterdir()} == set(RESULT_FILES)


def test_broken_inputs_are_named_and_the_rest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video")
    paths = [broken, write_video(tmp_path / "good.mp4"), tmp_path / "missing.mp4"]
    summary = track_videos(paths, tracker(), tmp_path / "out", show_progress=False)
    assert summary.exit_code == 3
    assert [video.path.name for video in summary.tracked] == ["good.mp4"]
    entries = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert [Path(entry["input"]).name for entry in entries] == ["broken.mp4", "missing.mp4"]
    assert all(entry["results"] is None for entry in entries)
    stderr = capsys.readouterr().err
    assert "broken.mp4" in stderr
    assert "missing.mp4" in stderr
    assert not (tmp_path / "out" / "broken").exists()
    track_videos(paths[1:2], tracker(), tmp_path / "out", show_progress=False)
    assert not (tmp_path / "out" / "skipped.json").exists()


def test_a_truncated_video_gives_the_frames_there_are_and_counts_as_skipped(tmp_path: Path):
    cut = truncated(tmp_path / "cut.mkv")
    summary = track_videos([cut], tracker(), tmp_path / "out", show_progress=False)
    assert summary.exit_code == 3
    (video,) = summary.tracked
    assert 5 < video.num_frames < 50
    assert video.problem is not None
    assert "cut.mkv" in video.problem
    with np.load(video.folder / "masks.npz") as archive:
        assert len(archive["masks"]) == video.num_frames
    (entry,) = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert entry["results"] == str(video.folder)
    assert "cut.mkv" in (video.folder / "report.html").read_text()
    assert json.loads((video.folder / "tracks.json").read_text())["info"]["problem"] == video.problem


def stream_of(num_frames: int) -> bytes:
    pixels = draw_squares([(RED, 16, lambda t: (2 + t % 40, 20))], num_frames=num_frames, size=(48, 64))
    return video_bytes(list(pixels), "ts")


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives the bytes that are on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def test_a_stream_is_tracked_like_a_file(tmp_path: Path, piped: Callable[[bytes], None]):
    piped(stream_of(30))
    (tmp_path / "same.ts").write_bytes(stream_of(30))
    (tmp_path / "-").write_bytes(stream_of(5))
    with contextlib.chdir(tmp_path):
        summary = track_videos(["-", "same.ts", "./-", "-"], tracker(), tmp_path / "out", show_progress=False)
    assert summary.exit_code == 0
    assert [(video.folder.name, video.num_frames) for video in summary.tracked] == [
        ("stream", 30),
        ("same", 30),
        ("-", 5),
    ]
    for name in ("tracks.csv", "mot.txt"):
        assert (tmp_path / "out" / "stream" / name).read_text() == (tmp_path / "out" / "same" / name).read_text()


def test_a_stream_that_breaks_off_or_is_no_video(tmp_path: Path, piped: Callable[[bytes], None]):
    piped(stream_of(30)[:-100])
    (video,) = track_videos("-", tracker(), tmp_path / "out", show_progress=False).tracked
    assert 20 < video.num_frames <= 30
    (entry,) = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert (entry["input"], entry["results"]) == ("-", str(tmp_path / "out" / "stream"))
    assert entry["reason"].startswith("standard input breaks off after")
    piped(b"")
    with pytest.raises(VideoError, match=r"^standard input is empty"):
        track_videos(["-"], tracker(), tmp_path / "out", show_progress=False)


def test_ctrl_c_ends_a_stream_and_keeps_what_came(
    tmp_path: Path, piped: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
):
    piped(stream_of(300))
    add = ResultsWriter.add

    def interrupted(results: ResultsWriter, frame: TrackedFrame) -> None:
        if frame.index == 5:
            signal.raise_signal(signal.SIGINT)
        add(results, frame)

    monkeypatch.setattr(ResultsWriter, "add", interrupted)
    summary = track_videos(["-"], tracker(), tmp_path / "out", show_progress=False)
    assert summary.exit_code == 3
    assert 6 <= summary.tracked[0].num_frames < 300
    assert "was stopped by Ctrl-C" in str(summary.tracked[0].problem)


def test_the_start_of_a_stream_is_checked_before_anything_is_written(tmp_path: Path, piped: Callable[[bytes], None]):
    piped(stream_of(10))
    outside = Start(boxes=np.array([[0.0, 0, 900, 900]]))
    with pytest.raises(DataError, match="900"):
        track_videos(["-"], tracker(), tmp_path / "out", starts=outside, show_progress=False)
    assert not (tmp_path / "out").exists()


def test_only_broken_inputs_are_an_error(tmp_path: Path):
    with pytest.raises(VideoError, match=r"no such video.*a\.mp4"):
        track_videos([tmp_path / "a.mp4"], tracker(), tmp_path / "out", show_progress=False)
    with pytest.raises(VideoError, match="none of the 2 videos"):
        track_videos([tmp_path / "a.mp4", tmp_path / "b.mp4"], tracker(), tmp_path / "out", show_progress=False)
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"skipped.json"}


def test_names_never_collide(tmp_path: Path):
    names = ["a/clip.mp4", "b/clip.mp4", "clip-2.mov", "c/Clip.avi", "a/clip.mp4", "....mp4", "skipped.json.mp4"]
    given = list(name_results([tmp_path / name for name in names]).values())
    assert given == ["clip", "clip-3", "clip-2", "Clip-4", "video", "skipped.json-2"]


def test_long_names_are_cut_so_that_a_folder_can_have_them(tmp_path: Path):
    given = list(name_results([tmp_path / f"{'é' * 120}{end}.mp4" for end in "ab"]).values())
    assert given == ["é" * 100, "é" * 100 + "-2"]


def test_names_that_no_file_system_takes_are_changed(tmp_path: Path):
    class Listed(PosixPath):
        """As a shard's index may name it."""

        def resolve(self, strict: bool = False) -> Listed:
            return self

        def is_dir(self) -> bool:
            return False

    (given,) = name_results([Listed("\ud800.mp4")]).values()
    (tmp_path / given).mkdir()


def test_videos_of_the_data_layout_are_called_by_their_folders(tmp_path: Path):
    both = [tmp_path / "0001" / "video.mp4", tmp_path / "0002" / "video.mp4"]
    assert list(name_results(both).values()) == ["0001", "0002"]
    assert list(name_results(both[:1]).values()) == ["video"]
    assert list(name_results([both[0], tmp_path / "0003" / "frames"]).values()) == ["0001", "0003"]


def test_videos_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path):
    paths = [write_video(tmp_path / "a" / "clip.mp4", 3), write_video(tmp_path / "b" / "clip.mp4", 5)]
    summary = track_videos(paths, tracker(), tmp_path / "out", show_progress=False)
    lengths = {}
    for video in summary.tracked:
        with np.load(video.folder / "masks.npz") as archive:
            lengths[video.folder.name] = len(archive["masks"])
    assert lengths == {"clip": 3, "clip-2": 5}


def test_an_interrupted_run_leaves_the_former_results_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, out = write_video(tmp_path / "clip.mp4"), tmp_path / "out"
    track_videos([path], tracker(), out, show_progress=False)
    former = {name: (out / "clip" / name).read_bytes() for name in RESULT_FILES}
    (out / "clip" / "notes.txt").write_text("mine")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slotkeeper.report.ReportWriter.finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        track_videos([path], tracker(), out, show_progress=False)
    assert {entry.name for entry in out.iterdir()} == {"clip"}
    assert {name: (out / "clip" / name).read_bytes() for name in RESULT_FILES} == former
    assert (out / "clip" / "notes.txt").read_text() == "mine"


def test_what_a_killed_run_left_is_removed_and_a_living_one_s_is_not(tmp_path: Path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, living = tmp_path / "out" / f".partial-{ended.pid}-abc", tmp_path / "out" / ".partial-1-abc"
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "overlay.mp4").write_bytes(b"half")
    track_videos([write_video(tmp_path / "clip.mp4", 2)], tracker(), tmp_path / "out", show_progress=False)
    assert not dead.exists()
    assert living.exists()


def test_results_of_two_commands_are_never_mixed(tmp_path: Path):
    """The one that comes later waits until the other has put all its files in place."""
    path, out = write_video(tmp_path / "clip.mp4", 2), tmp_path / "out"
    track_videos([path], tracker(), out, show_progress=False)
    former = (out / "clip" / "tracks.csv").read_text()
    second = threading.Thread(target=track_videos, args=([path], tracker(), out), kwargs={"show_progress": False})
    with folder_lock(out / "clip"):
        (out / "clip" / "tracks.csv").write_text("of the first")
        second.start()
        second.join(1.0)
        assert second.is_alive()
        assert (out / "clip" / "tracks.csv").read_text() == "of the first"
    second.join()
    assert (out / "clip" / "tracks.csv").read_text() == former


def test_results_never_go_where_the_video_itself_lies(tmp_path: Path):
    (tmp_path / "clip").mkdir()
    for index in range(2):
        Image.new("RGB", (16, 16)).save(tmp_path / "clip" / f"{index}.png")
    (tmp_path / "clip" / "masks.npz").write_bytes(b"true masks")
    with pytest.raises(OutputError, match="the video itself lies"):
        track_videos([tmp_path / "clip"], tracker(), tmp_path, show_progress=False)
    assert (tmp_path / "clip" / "masks.npz").read_bytes() == b"true masks"


def test_an_output_that_is_a_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="out"):
        track_videos([write_video(tmp_path / "clip.mp4", 2)], tracker(), tmp_path / "out", show_progress=False)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slotkeeper.export.masks_npz.MaskSpool.add", full)
    with pytest.raises(OutputError, match="No space left on device"):
        track_videos([write_video(tmp_path / "clip.mp4", 2)], tracker(), tmp_path / "out", show_progress=False)
    assert list((tmp_path / "out").iterdir()) == []
