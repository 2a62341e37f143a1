"""Videos on Ray: none lost, none done twice, whatever is killed; a video that kills its worker is given up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fatal_encoder
import numpy as np
import pytest
from color_model import RED, draw_squares, write_h264
from fake_ray import FakeRay, RayError
from small_run import raw_config

from slotkeeper.build import build_model
from slotkeeper.checkpoint import write_model
from slotkeeper.cli import main
from slotkeeper.cluster import LEDGER_FILE, format_summary, read_ledger, run, track_on_cluster
from slotkeeper.config import parse_config
from slotkeeper.errors import ConfigError, DataError, OutputError, VideoError
from slotkeeper.export.results import DATA_FILES
from slotkeeper.files import locked_folder
from slotkeeper.loading import load
from slotkeeper.track_files import RESULT_FILES, track_videos

GREY, WHITE, BLACK = (90, 90, 90), (255, 255, 255), (0, 0, 0)


def write_video(path: Path, color: tuple[int, int, int] = GREY, *, num_frames: int = 3, left: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    side = 8 if color == GREY else 0
    pixels = draw_squares(
        [(RED, side, lambda t: (left + t, 8))], num_frames=num_frames, size=(32, 32), background=color
    )
    return write_h264(path, pixels)


def make_model(folder: Path, *, seconds: float = 0.0, seed: int = 0) -> Path:
    """A small model that white and black videos end; `folder/marks` counts the deaths."""
    (folder / "marks").mkdir(parents=True)
    raw = raw_config(folder)
    raw["model"]["encoder"] = {
        "name": "fatal_encoder:FatalEncoder",
        "marks": str(folder / "marks"),
        "seconds": seconds,
    }
    config = parse_config(raw | {"seed": seed}, "test")
    write_model(folder / "model", build_model(config).state_dict(), config)
    return folder / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A real Ray; one worker, since each that starts costs seconds."""
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRay]:
    """Puts a Ray in place that needs no other process."""

    def put(**settings: Callable[..., None]) -> FakeRay:
        ray = FakeRay(**settings)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return put


def states(out: Path) -> dict[str, str]:
    return {name: record.state for name, record in read_ledger(out).items()}


def events(out: Path, state: str) -> list[str]:
    """Names in the order in which they came to a state."""
    lines = (out / LEDGER_FILE).read_text().splitlines()[1:]
    return [event["name"] for event in map(json.loads, lines) if event["state"] == state]


def stamps(out: Path, names: list[str]) -> dict[str, tuple[int, int]]:
    """What tells whether a file was written again."""
    files = [out / name / file for name in names for file in RESULT_FILES]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def seen(out: Path) -> set[str]:
    return {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}


def test_results_are_those_of_tracking_without_ray(model: Path, address: str, tmp_path: Path):
    paths = [write_video(tmp_path / f"{left}.mp4", left=left) for left in (2, 6, 10)]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    whole = write_h264(tmp_path / "whole.mkv", noise).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    paths += [tmp_path / "broken.mp4", tmp_path / "cut.mkv"]
    plain = track_videos(paths, load(model), tmp_path / "plain", show_progress=False)
    summary = track_on_cluster(paths, tmp_path / "ray", model=model, show_progress=False)
    assert seen(tmp_path / "ray") == seen(tmp_path / "plain") | {LEDGER_FILE}
    for video in plain.tracked:
        for name in DATA_FILES:
            ours = tmp_path / "ray" / video.folder.name / name
            assert ours.read_bytes() == (video.folder / name).read_bytes(), name
    assert [(record.num_frames, record.num_objects) for record in summary.tracked] == [
        (video.num_frames, video.num_objects) for video in plain.tracked
    ]
    named = {Path(item.path).name: item.reason for item in plain.skipped}
    assert {item.path.name: item.reason for item in summary.skipped} == named
    assert named.keys() == {"broken.mp4", "cut.mkv"}
    assert summary.exit_code == 3


def test_a_video_that_kills_its_worker_is_tried_twice_and_the_others_are_done(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = make_model(tmp_path / "fatal")
    write_video(tmp_path / "videos" / "killer.mp4", WHITE)
    good = [write_video(tmp_path / "videos" / f"z{number}.mp4").stem for number in range(3)]
    arguments = ["track", str(tmp_path / "videos"), "--model", str(model), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*arguments, "--cluster"]) == 3
    captured = capsys.readouterr()
    assert states(tmp_path / "out") == dict.fromkeys(good, "done") | {"killer": "crashed"}
    assert len(list((tmp_path / "fatal" / "marks").iterdir())) == 2
    assert "killer.mp4: given up after 2 attempts" in captured.err
    assert any(line.split()[:2] == ["crashed", "1"] for line in captured.out.splitlines())
    (entry,) = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert Path(entry["input"]).name == "killer.mp4"
    assert main([*arguments, "--cluster"]) == 3  # nothing is left to do, and the killer isn't tried again
    assert len(list((tmp_path / "fatal" / "marks").iterdir())) == 2
    assert seen(tmp_path / "out") == {*good, LEDGER_FILE, "skipped.json"}


def test_after_a_killed_driver_every_video_is_done_exactly_once(address: str, tmp_path: Path):
    model, out = make_model(tmp_path / "slow", seconds=0.3), tmp_path / "out"
    paths = [write_video(tmp_path / "videos" / f"{number:02d}.mp4") for number in range(8)]
    command = [sys.executable, "-m", "slotkeeper", "track", *map(str, paths), "--model", str(model), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(
        [*command, "--cluster", "--address", address], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not (out / LEDGER_FILE).exists() or len(events(out, "done")) < 3:
        assert driver.poll() is None, driver.communicate()[1]
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert "started" in states(out).values()
    former = events(out, "done")
    before = stamps(out, former[:-1])  # the last one may have been on its way to its place
    summary = track_on_cluster(paths, out, model=model, show_progress=False)
    assert summary.exit_code == 0
    assert set(former) <= summary.earlier
    assert sorted(events(out, "done")) == [path.stem for path in paths]
    assert stamps(out, former[:-1]) == before
    stamps(out, [path.stem for path in paths])  # all files are there
    assert [entry.name for entry in out.iterdir() if entry.name.startswith(".")] == [".lock"]


def test_an_address_without_ray_is_one_sentence(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ConfigError, match=r"there is no Ray at '127\.0\.0\.1:1': .*refused"):
        track_on_cluster(
            [write_video(tmp_path / "a.mp4")], tmp_path / "out", model=model, address="127.0.0.1:1", show_progress=False
        )


def test_names_stay_when_videos_come_in_later(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    ray, out = fake(), tmp_path / "out"
    second = write_video(tmp_path / "b" / "clip.mp4")
    track_on_cluster([second], out, model=model, show_progress=False)
    before = stamps(out, ["clip"])
    first = write_video(tmp_path / "a" / "clip.mp4")
    named_as_ledger = write_video(tmp_path / "cluster.jsonl.mp4")
    summary = track_on_cluster([first, second, named_as_ledger, second], out, model=model, show_progress=False)
    assert {record.name: Path(record.path) for record in summary.records} == {
        "clip": second,
        "clip-2": first,
        "cluster.jsonl-2": named_as_ledger,
    }
    assert stamps(out, ["clip"]) == before
    assert ray.num_tasks == 3


def test_few_attempts_wait_in_ray(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    ray = fake()
    videos = [write_video(tmp_path / f"{number}.mp4", num_frames=1) for number in range(6)]
    track_on_cluster(videos, tmp_path / "one", model=model, jobs=1, show_progress=False)
    assert ray.most_waiting == 1
    track_on_cluster(videos, tmp_path / "two", model=model, show_progress=False)
    assert ray.most_waiting == 4


def test_an_error_that_is_a_bug_is_reported_with_its_trace_and_tried_again_on_demand(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay]
):
    ray, out = fake(), tmp_path / "out"
    videos = [write_video(tmp_path / "black.mp4", BLACK), write_video(tmp_path / "good.mp4")]
    summary = track_on_cluster(videos, out, model=model, show_progress=False)
    assert [record.name for record in summary.crashed] == ["black"]
    assert "RuntimeError: black is too much" in str(summary.crashed[0].reason)
    assert '"trace": "traceback of black is too much"' in (out / LEDGER_FILE).read_text()
    write_video(tmp_path / "black.mp4")
    track_on_cluster(videos, out, model=model, show_progress=False)
    assert states(out)["black"] == "crashed"
    summary = track_on_cluster(videos, out, model=model, is_retry=True, show_progress=False)
    assert states(out) == {"black": "done", "good": "done"}
    assert summary.exit_code == 0
    assert not (out / "skipped.json").exists()
    assert ray.num_tasks == 4


def test_attempts_count_across_drivers_and_a_driver_s_end_is_none(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay]
):
    videos, out = [write_video(tmp_path / "a.mp4"), write_video(tmp_path / "b.mp4")], tmp_path / "out"
    waits = iter([None, None, KeyboardInterrupt()])

    def interrupt() -> None:
        reason = next(waits, None)
        if reason is not None:
            raise reason

    def die_of_a(_: object, path: str, *__: object) -> None:
        if path.endswith("a.mp4"):
            raise RayError("The worker died.")

    ray = fake(on_wait=interrupt, on_task=die_of_a)
    with pytest.raises(KeyboardInterrupt):
        track_on_cluster(videos, out, model=model, show_progress=False)
    assert ray.num_cancelled == 1
    assert states(out) == {"a": "started", "b": "done"}
    assert seen(out) == {"b", LEDGER_FILE}
    assert [entry.name for entry in out.iterdir() if entry.name.startswith(".")] == [".lock"]
    ray = fake(on_task=die_of_a)
    summary = track_on_cluster(videos, out, model=model, show_progress=False)
    assert ray.num_tasks == 1
    assert [(record.name, record.state, record.attempt) for record in summary.records] == [
        ("a", "crashed", 2),
        ("b", "done", 1),
    ]
    assert summary.num_retried == 1


def test_where_every_attempt_dies_nothing_more_is_tried(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay], monkeypatch: pytest.MonkeyPatch
):
    def die(*_: object) -> None:
        raise RayError("No module named 'slotkeeper'")

    ray = fake(on_task=die)
    monkeypatch.setattr(run, "HOPELESS", 3)
    videos = [write_video(tmp_path / f"{number}.mp4") for number in range(5)]
    with pytest.raises(DataError, match=r"first 3 attempts all died.*No module named"):
        track_on_cluster(videos, tmp_path / "out", model=model, show_progress=False)
    assert ray.num_tasks == 3


def test_what_concerns_all_videos_stops_them(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    def fill_disk(*_: object) -> None:
        raise OutputError("can't write results: No space left on device")

    fake(on_task=fill_disk)
    videos = [write_video(tmp_path / f"{number}.mp4") for number in range(2)]
    with pytest.raises(OutputError, match=r"^can't write results: No space left"):
        track_on_cluster(videos, tmp_path / "out", model=model, show_progress=False)
    assert states(tmp_path / "out") == {"0": "started", "1": "started"}


def test_only_broken_videos_are_an_error(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    fake()
    with pytest.raises(VideoError, match="no video could be read"):
        track_on_cluster([tmp_path / "missing.mp4"], tmp_path / "out", model=model, show_progress=False)
    (entry,) = json.loads((tmp_path / "out" / "skipped.json").read_text())
    assert "missing.mp4" in entry["reason"]


def test_results_that_are_gone_are_made_again(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay], capsys: pytest.CaptureFixture[str]
):
    ray, video, out = fake(), write_video(tmp_path / "a.mp4"), tmp_path / "out"
    track_on_cluster([video], out, model=model, show_progress=False)
    (out / "a" / "notes.txt").write_text("mine")
    (out / "a" / "masks.npz").unlink()
    track_on_cluster([video], out, model=model, show_progress=False)
    assert "not whole" in capsys.readouterr().err
    assert {entry.name for entry in (out / "a").iterdir()} == {*RESULT_FILES, "notes.txt"}
    assert ray.num_tasks == 2


def test_results_that_a_killed_driver_called_done_are_moved_by_the_next(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay]
):
    ray, video, out = fake(), write_video(tmp_path / "a.mp4"), tmp_path / "out"
    track_on_cluster([video], out, model=model, show_progress=False)
    where = out / str(read_ledger(out)["a"].results)
    where.parent.mkdir(parents=True)
    (out / "a").rename(where)
    (where.parents[1] / "9").mkdir()
    track_on_cluster([video], out, model=model, show_progress=False)
    assert ray.num_tasks == 1
    assert seen(out) == {"a", LEDGER_FILE}
    assert not where.parents[1].exists()


def test_a_line_cut_short_is_ignored_and_a_damaged_one_refused(
    model: Path, tmp_path: Path, fake: Callable[..., FakeRay]
):
    ray, video, out = fake(), write_video(tmp_path / "a.mp4"), tmp_path / "out"
    track_on_cluster([video], out, model=model, show_progress=False)
    whole = (out / LEDGER_FILE).read_bytes()
    (out / LEDGER_FILE).write_bytes(whole + b'{"at": "2026-01-01", "name": "a", "sta')
    assert states(out) == {"a": "done"}
    track_on_cluster([video], out, model=model, show_progress=False)
    assert (out / LEDGER_FILE).read_bytes() == whole
    assert ray.num_tasks == 1
    lines = whole.splitlines(keepends=True)
    (out / LEDGER_FILE).write_bytes(b"".join([*lines[:2], b"\0\0\0\n", *lines[2:]]))
    with pytest.raises(DataError, match=r"line 3 of .*cluster\.jsonl is damaged"):
        track_on_cluster([video], out, model=model, show_progress=False)
    (out / LEDGER_FILE).write_bytes(b'{"some": "other"}\n')
    with pytest.raises(DataError, match="no ledger of slotkeeper"):
        read_ledger(out)


def test_another_model_or_other_settings_are_refused(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    ray, video, out = fake(), write_video(tmp_path / "a.mp4"), tmp_path / "out"
    track_on_cluster([video], out, model=model, show_progress=False)
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match=rf"out holds results of another model, {model}; choose another folder"):
        track_on_cluster([video], out, model=other, show_progress=False)
    with pytest.raises(DataError, match="out holds results of other settings"):
        track_on_cluster([video], out, model=model, report_frames=5, show_progress=False)
    assert ray.num_tasks == 1


def test_two_drivers_in_one_folder_are_one_too_many(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    fake()
    with (
        locked_folder(tmp_path / "out", busy=""),
        pytest.raises(OutputError, match="another process is tracking into"),
    ):
        track_on_cluster([tmp_path / "a.mp4"], tmp_path / "out", model=model, show_progress=False)


def test_the_table_counts_what_this_start_did(model: Path, tmp_path: Path, fake: Callable[..., FakeRay]):
    fake()
    videos = [write_video(tmp_path / f"{number}.mp4", num_frames=number + 1) for number in range(3)]
    track_on_cluster(videos[:2], tmp_path / "out", model=model, show_progress=False)
    summary = track_on_cluster(videos, tmp_path / "out", model=model, show_progress=False)
    values = {line[:17].strip(): line[17:].split()[0] for line in format_summary(summary).splitlines()}
    assert (values["videos"], values["tracked"], values["frames"]) == ("3", "3", "6")
    assert "2 of them finished before this start" in format_summary(summary)
    assert float(values["frames per second"]) == pytest.approx(3 / summary.seconds, abs=0.1)
    assert values.keys() >= {"skipped", "crashed", "retried", "objects", "slowest"}


def test_options_for_a_cluster_need_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def sentence(*options: str) -> str:
        assert main(["track", "a.mp4", "--out", str(tmp_path / "out"), *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert sentence("--address", "auto") == "slotkeeper: --address is for tracking with --cluster"
    assert sentence("--jobs", "2") == "slotkeeper: --jobs is for tracking with --cluster"
    assert sentence("--retry") == "slotkeeper: --retry is for tracking with --cluster"
    assert "--start" in sentence("--cluster", "--start", "boxes.json")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'slotkeeper[ray]'" in sentence("--cluster")
    assert not (tmp_path / "out").exists()


def test_videos_can_stand_in_a_list(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = write_video(tmp_path / "ä video.mp4")
    (tmp_path / "list.txt").write_text(f"{video}\n\n")
    arguments = ["track", "--model", str(model), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*arguments, "--list", str(tmp_path / "list.txt")]) == 0
    assert seen(tmp_path / "out") == {"ä video"}
    assert main(arguments) == 2
    assert "required: VIDEO" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text("\n")
    assert main([*arguments, "--list", str(tmp_path / "list.txt")]) == 2
    assert "no list of paths" in capsys.readouterr().err


def test_the_fatal_encoder_tells_colours_apart():
    assert fatal_encoder.DARK < sum(GREY) / 3 / 255 < fatal_encoder.BRIGHT
