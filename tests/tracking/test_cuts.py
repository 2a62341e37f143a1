"""Cuts between shots are found, nothing else is taken for one, and no object goes on beyond them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from color_model import BLUE, GREEN, GREY, RED, WHITE, YELLOW, color_model, draw_squares, write_h264

from slotkeeper.data import Start
from slotkeeper.data.reader import VideoFrame
from slotkeeper.errors import VideoError
from slotkeeper.scenes.render import render_video
from slotkeeper.track_files import track_videos
from slotkeeper.tracking import Tracker, TrackingRules, collect_tracks
from slotkeeper.tracking.cuts import mark_cuts
from slotkeeper.tracking.thumbnails import change_between, thumbnail_of

SIZE = (48, 64)
PALETTE = [[GREY, WHITE], [RED], [GREEN], [BLUE], [YELLOW]]
RULES = TrackingRules()


def frames_of(pixels: np.ndarray) -> list[VideoFrame]:
    return [VideoFrame(pixels=frame, time=index / 25, index=index) for index, frame in enumerate(pixels)]


def cuts_in(pixels: np.ndarray, rules: TrackingRules = RULES) -> list[int]:
    marked = list(mark_cuts(frames_of(pixels), rules))
    assert [frame.index for frame, _ in marked] == list(range(len(pixels)))
    return [frame.index for frame, is_cut in marked if is_cut]


def shot(
    color: tuple[int, int, int], other: tuple[int, int, int], background: tuple[int, int, int], num_frames: int = 10
):
    squares = [(color, 16, lambda t: (4 + t, 8)), (other, 12, lambda t: (44 - t, 30))]
    return draw_squares(squares, num_frames=num_frames, size=SIZE, background=background)


FIRST, SECOND = shot(RED, BLUE, GREY), shot(GREEN, RED, WHITE)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [
        np.asarray(render_video(name, seed=seed, num_frames=8, size=32).frames)
        for name, seed in (("plain", 3), ("crowd", 4), ("clevr", 5))
    ]


def test_joined_scenes_are_cut_where_they_were_joined(scenes: list[np.ndarray]):
    assert cuts_in(np.concatenate(scenes)) == [8, 16]
    for scene in scenes:
        assert cuts_in(scene) == []


def test_a_shot_of_a_single_frame_at_the_end_is_one():
    assert cuts_in(np.concatenate((FIRST, SECOND[:1]))) == [10]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut_while_it_is_short(length: int):
    flash = np.full((length, *SIZE, 3), 255, dtype=np.uint8)
    assert cuts_in(np.concatenate((FIRST[:5], flash, FIRST[5:]))) == []


def test_a_longer_flash_is_two_cuts():
    flash = np.full((4, *SIZE, 3), 255, dtype=np.uint8)
    flash[:, 10:30, 20:40] = BLUE
    assert cuts_in(np.concatenate((FIRST[:5], flash, FIRST[5:]))) == [5, 9]


@pytest.mark.parametrize("share", [0.14, 0.2, 0.25])
def test_one_thing_that_appears_is_no_cut(share: float):
    """It differs from all that was there, and the rest goes on as before."""
    rows, columns = np.mgrid[:64, :64]
    is_thing = np.maximum(abs(rows - 30), abs(columns - 34)) < 32 * np.sqrt(share)
    stripes = np.where((columns // 16) % 2, 90, 160).astype(np.uint8)
    with_thing = np.where(is_thing, 20, stripes).astype(np.uint8)
    shot = np.stack([stripes] * 10 + [with_thing] * 10)[..., None].repeat(3, axis=-1)
    assert change_between(thumbnail_of(shot[9]), thumbnail_of(shot[10])) > RULES.cut_change
    assert cuts_in(shot) == []


def test_a_flash_right_at_a_cut_does_not_hide_it():
    """It counts as a shot of its own."""
    flash = shot(BLUE, GREEN, YELLOW, 1)
    assert cuts_in(np.concatenate((FIRST, flash, SECOND))) == [10, 11]


@pytest.mark.parametrize("length", [1, 6])
def test_a_moment_of_black_hides_no_cut_and_is_none(length: int):
    black = np.zeros((length, *SIZE, 3), dtype=np.uint8)
    assert cuts_in(np.concatenate((black, FIRST, black, SECOND))) == [10 + 2 * length]
    assert cuts_in(np.concatenate((FIRST[:5], black, FIRST[5:]))) == []


def test_flicker_and_fades_of_one_scene_are_no_cuts(scenes: list[np.ndarray]):
    still = scenes[0][:1].repeat(40, axis=0).astype(np.float64)
    flicker = np.where(np.arange(40) % 2, 30.0, 0.0)[:, None, None, None]
    assert cuts_in(np.clip(still + flicker, 0, 255).astype(np.uint8)) == []
    dimmed = still * np.abs(np.linspace(-1, 1, 40))[:, None, None, None]
    assert cuts_in(dimmed.astype(np.uint8)) == []


def test_a_lamp_that_halves_and_doubles_the_light_is_no_cut(scenes: list[np.ndarray]):
    for scene in scenes:
        long = np.concatenate((scene, scene[::-1], scene))
        light = np.where(np.arange(len(long)) // 5 % 2, 0.4, 0.8)[:, None, None, None]
        assert cuts_in((long * light).astype(np.uint8)) == []


@pytest.mark.parametrize("speed", [1, 4])
def test_a_moving_camera_is_no_cut(scenes: list[np.ndarray], speed: int):
    """A window of 32 pixels runs over a wide picture, by up to an eighth of its width a frame."""
    wide = np.concatenate([scene[0] for scene in scenes], axis=1)
    pan = np.stack([wide[:, left : left + 32] for left in range(0, 64, speed)])
    assert cuts_in(pan) == []


def test_frames_that_have_nothing_in_common_are_no_cuts():
    noise = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    assert cuts_in(noise.repeat(8, axis=1).repeat(8, axis=2)) == []


def test_no_object_goes_on_beyond_a_cut_and_ids_count_on():
    """The red square is on both sides, in the same slot and with the same looks."""
    tracker = Tracker(color_model(PALETTE, 1), size=SIZE)
    frames = list(tracker.track_frames(frames_of(np.concatenate((FIRST, SECOND)))))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.index for frame in frames if frame.is_cut] == [10]
    tracks = collect_tracks(frames)
    assert [(track.track_id, track.slot, track.frames[0], track.frames[-1]) for track in tracks] == [
        (1, 1, 0, 9),
        (2, 3, 0, 9),
        (3, 1, 10, 19),
        (4, 2, 10, 19),
    ]
    whole = Tracker(color_model(PALETTE, 1), size=SIZE, rules=TrackingRules(cut_change=1.0))
    tracks = collect_tracks(whole.track_frames(frames_of(np.concatenate((FIRST, SECOND)))))
    assert [(track.slot, len(track.frames)) for track in tracks] == [(1, 20), (3, 10), (2, 10)]


def test_each_shot_is_tracked_as_if_it_were_alone():
    tracker = Tracker(color_model(PALETTE, 1), size=SIZE, chunk=7)
    joined = list(tracker.track_frames(frames_of(np.concatenate((FIRST, SECOND)))))
    alone = [list(tracker.track_frames(frames_of(pixels))) for pixels in (FIRST, SECOND)]
    for one, other in zip(joined, [*alone[0], *alone[1]], strict=True):
        assert np.array_equal(one.segments > 0, other.segments > 0)


def test_a_video_without_cuts_is_tracked_as_without_looking_for_them():
    with_cuts, without = (
        list(Tracker(color_model(PALETTE, 1), size=SIZE, rules=rules).track_frames(frames_of(FIRST)))
        for rules in (RULES, TrackingRules(cut_change=1.0))
    )
    for one, other in zip(with_cuts, without, strict=True):
        assert one.segments.tobytes() == other.segments.tobytes()


def test_a_start_holds_up_to_the_first_cut():
    model = color_model(PALETTE, 1)
    model.initializer.start_kinds = ("boxes",)
    start = Start(boxes=np.array([[4.0, 8, 20, 24]]))
    frames = list(Tracker(model, size=SIZE).track_frames(frames_of(np.concatenate((FIRST, SECOND))), start=start))
    first = [track for track in collect_tracks(frames) if track.track_id == 1]
    assert [(track.slot, track.frames[-1]) for track in first] == [(1, 9)]


def test_a_video_that_breaks_off_after_a_cut_gives_all_its_frames():
    def broken():
        yield from frames_of(np.concatenate((FIRST, SECOND[:2])))
        raise VideoError("it broke off")

    tracker, seen = Tracker(color_model(PALETTE, 1), size=SIZE), []
    with pytest.raises(VideoError, match="broke off"):
        seen.extend(tracker.track_frames(broken()))
    assert [frame.index for frame in seen] == list(range(12))
    assert seen[10].is_cut


def test_cuts_stand_in_the_results(tmp_path: Path):
    video = write_h264(tmp_path / "video.mp4", np.concatenate((FIRST, SECOND)))
    summary = track_videos([video], Tracker(color_model(PALETTE, 1), size=SIZE), tmp_path / "out", show_progress=False)
    assert summary.tracked[0].num_cuts == 1
    written = json.loads((tmp_path / "out" / "video" / "tracks.json").read_text())
    assert written["info"]["cuts"] == [10]
    assert 'class="cut" style="left: 50.000%"' in (tmp_path / "out" / "video" / "report.html").read_text()
