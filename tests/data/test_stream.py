"""What comes through a pipe is read once, to its end, and how it ended is said."""

from __future__ import annotations

import io
import os
import random
import threading
from fractions import Fraction

import numpy as np
import pytest
from numbered_videos import index_of, noisy_frames, numbered_frame
from streams import Unending, video_bytes

from slotkeeper.data import stream as stream_module
from slotkeeper.data.stream import StreamReader, open_standard_input
from slotkeeper.data.stream_end import StreamEnd
from slotkeeper.errors import ConfigError, VideoError

NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184


def read(content: bytes | io.RawIOBase) -> tuple[list[float], str | None]:
    """Times of all frames that come, and what was wrong in the end."""
    reader = StreamReader(io.BytesIO(content) if isinstance(content, bytes) else content)
    times: list[float] = []
    try:
        for frame in reader:
            assert frame.index == len(times)
            times.append(frame.time)
    except VideoError as error:
        return times, str(error)
    return times, None


@pytest.mark.parametrize("kind", ["ts", "mkv"])
def test_a_real_pipe_gives_every_frame_once(kind):
    content = video_bytes([numbered_frame(index) for index in range(25)], kind)
    output, entrance = os.pipe()

    def write() -> None:
        with os.fdopen(entrance, "wb") as pipe:
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(output, "rb") as pipe:
        reader = StreamReader(pipe)
        assert (reader.info.height, reader.info.width, reader.info.fps) == (48, 64, Fraction(25))
        assert reader.info.num_frames_expected is None
        frames = list(reader)
        assert list(reader) == []
    writer.join()
    assert [index_of(frame.pixels) for frame in frames] == list(range(25))
    assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in range(25)], abs=2e-3)
    assert reader.problem is None


@pytest.mark.parametrize("kind", ["ts", "mkv"])
def test_a_stream_that_breaks_off_gives_what_came_and_says_so(kind):
    content = video_bytes(noisy_frames(40), kind)
    assert read(content)[1] is None
    chance = random.Random(0)
    for _ in range(5):
        place = chance.randrange(len(content) // 4, len(content) - 1)
        if kind == "ts" and place % 188 == 0:
            place += 1
        times, problem = read(content[:place])
        assert 0 < len(times) < 40
        assert problem == f"standard input breaks off after {len(times)} frames, in the middle of its data"


def test_an_mp4_comes_through_where_its_header_comes_first():
    frames = noisy_frames(30)
    content = video_bytes(frames, "mp4", options={"movflags": "frag_keyframe+empty_moov"})
    assert len(read(content)[0]) == 30
    noise = list(np.random.default_rng(0).integers(0, 255, (30, 96, 128, 3), dtype=np.uint8))
    times, problem = read(video_bytes(noise, "mp4"))
    assert not times
    assert problem is not None
    assert problem.endswith("since its index stands at its end; give the file's name instead")


def test_a_broadcast_may_be_joined_at_any_time():
    content = video_bytes(noisy_frames(40), "ts")
    times, problem = read(content[len(content) // 3 :])
    assert 10 < len(times) < 40
    assert (times[0], problem) == (0.0, None)


def test_stamps_that_begin_again_or_jump_leave_times_without_a_gap():
    day = 27 * 3600 * 25
    for jump in (day, 5 * 3600 * 25):
        content = video_bytes(noisy_frames(20), "ts", stamps=lambda index, jump=jump: index + jump * (index >= 10))
        times, _ = read(content)
        assert len(times) == 20
        assert np.diff(times) == pytest.approx(0.04, abs=1e-3)


def test_what_is_no_video_is_one_sentence():
    assert read(b"") == ([], "standard input is empty (0 bytes), expected a video")
    for content in (b"no video\n" * 9000, bytes(300_000), os.urandom(300_000)):
        times, problem = read(content)
        assert not times
        assert problem is not None
        assert problem.startswith("standard input can't be read as a video in one pass")
    assert read(NULL_PACKET * 400)[0] == []


@pytest.mark.parametrize("more", [os.urandom, lambda size: NULL_PACKET * (size // 188 + 1)])
def test_rubbish_without_end_is_given_up(more, monkeypatch):
    monkeypatch.setattr(stream_module, "_MAX_SILENT_BYTES", 2**20)
    source = Unending(video_bytes(noisy_frames(10), "ts"), lambda size: more(size)[:size])
    times, problem = read(source)
    assert len(times) > 5
    assert problem == f"standard input gave no frame in 1 MiB after {len(times)} frames"
    assert source.num_bytes < 3 * 2**20


def test_a_stream_that_is_stopped_ends_after_what_has_come():
    reader = StreamReader(io.BytesIO(video_bytes(noisy_frames(200), "ts")))
    frames = iter(reader)
    next(frames)
    reader.stop("was stopped by Ctrl-C")
    with pytest.raises(VideoError, match=r"^standard input was stopped by Ctrl-C after \d+ frames$"):
        list(frames)


def test_ctrl_c_while_waiting_ends_the_stream():
    content = video_bytes(noisy_frames(10), "ts")

    def interrupted(size: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(VideoError, match="was stopped by Ctrl-C after"):
        list(StreamReader(Unending(content, interrupted)))


def test_a_terminal_is_no_video(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stdin, what in ((Terminal(), "a terminal"), (None, "closed")):
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(ConfigError, match=f"which is {what}"):
            open_standard_input()


def test_the_parts_in_which_bytes_come_do_not_matter_to_their_end():
    content = video_bytes(noisy_frames(12), "mkv")
    for size in (1, 7, len(content)):
        end = StreamEnd()
        for start in range(0, len(content), size):
            end.feed(content[start : start + size])
        assert not end.breaks_off("matroska,webm")
        end.feed(content[:1])
        assert end.breaks_off("matroska,webm")
