from __future__ import annotations

import tracemalloc
import zlib
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import (
    CODECS,
    cut,
    index_of,
    noisy_frames,
    numbered_frame,
    write_images,
    write_png_header,
    write_video,
)
from PIL import Image

from slotkeeper.data import frames as frames_module
from slotkeeper.data.reader import VideoReader
from slotkeeper.errors import VideoError


def sentence(path: Path, **options) -> str:
    """What a user is told about `path`: one line that names it."""
    with pytest.raises(VideoError) as caught:
        list(VideoReader(path, **options))
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_every_container_gives_all_frames_in_order(suffix, tmp_path):
    reader = VideoReader(write_video(tmp_path / f"v.{suffix}", 20))
    frames = list(reader)
    assert [index_of(frame.pixels) for frame in frames] == list(range(20))
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(20)], abs=1e-3)
    assert (reader.info.width, reader.info.height, reader.info.fps) == (64, 48, 25)
    assert reader.info.duration == pytest.approx(0.8, abs=0.01)
    assert reader.info.num_frames_declared == (None if suffix in ("mkv", "webm") else 20)
    assert reader.info.num_frames_expected == 20
    assert reader.problem is None


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_colours_are_right(suffix, tmp_path):
    pixels = next(iter(VideoReader(write_video(tmp_path / f"v.{suffix}", 3)))).pixels
    assert np.abs(pixels[5, 5].astype(int) - (250, 0, 0)).max() < 8
    assert np.abs(pixels[5, -5].astype(int) - (0, 0, 250)).max() < 8


def test_a_reader_can_be_read_again(tmp_path):
    with VideoReader(write_video(tmp_path / "v.mp4", 5)) as reader:
        assert len(list(islice(reader, 2))) == 2
        assert [index_of(frame.pixels) for frame in reader] == list(range(5))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_folder_is_read_in_natural_order(suffix, tmp_path):
    reader = VideoReader(write_images(tmp_path / "frames", 12, suffix), folder_fps=Fraction(10))
    assert [index_of(frame.pixels) for frame in reader] == list(range(12))
    assert [frame.time for frame in reader] == pytest.approx([i / 10 for i in range(12)])
    assert reader.info.num_frames_declared == reader.count_frames() == 12


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_phone_rotation_is_applied(suffix, rotation, tmp_path):
    reader = VideoReader(write_video(tmp_path / f"v.{suffix}", 3, rotation=rotation))
    upright = np.rot90(numbered_frame(0), rotation // 90)
    pixels = next(iter(reader)).pixels
    assert pixels.shape == upright.shape == (reader.info.height, reader.info.width, 3)
    assert np.abs(pixels.astype(int) - upright).mean() < 8


def test_a_mirrored_front_camera_is_mirrored_back(tmp_path):
    reader = VideoReader(write_video(tmp_path / "v.mp4", 2, rotation=0, mirrored=True))
    assert np.abs(next(iter(reader)).pixels.astype(int) - numbered_frame(0)[:, ::-1]).mean() < 8


def test_variable_frame_rate_keeps_the_times_of_the_file(tmp_path):
    times = [0, 40, 100, 400, 420, 1000]
    for suffix in ("mp4", "mkv"):
        reader = VideoReader(write_video(tmp_path / f"v.{suffix}", 6, times_ms=times))
        assert [frame.time for frame in reader] == pytest.approx([t / 1000 for t in times], abs=1e-3)
        assert reader.problem is None


@pytest.mark.parametrize(("suffix", "pix_fmt"), [("mp4", "yuv444p"), ("gif", None), ("avi", None)])
def test_odd_sizes(suffix, pix_fmt, tmp_path):
    reader = VideoReader(write_video(tmp_path / f"v.{suffix}", 4, size=(47, 63), pix_fmt=pix_fmt))
    assert [frame.pixels.shape for frame in reader] == [(47, 63, 3)] * 4


def test_a_video_of_one_frame(tmp_path):
    frames = list(VideoReader(write_video(tmp_path / "v.mp4", 1)))
    assert [(frame.time, frame.index) for frame in frames] == [(0.0, 0)]


@pytest.mark.parametrize("suffix", sorted(CODECS))
@pytest.mark.parametrize("share", [0.55, 0.9])
def test_a_truncated_file_is_noticed(suffix, share, tmp_path):
    path = cut(write_video(tmp_path / f"v.{suffix}", noisy_frames(60)), share)
    reader = VideoReader(path, on_truncated="keep")
    kept = list(reader)
    assert 5 < len(kept) < 60
    assert reader.problem is not None
    message = sentence(path)
    assert message == reader.problem
    assert str(len(kept)) in message
    if suffix != "gif":  # which declares no count
        assert "60" in message


def test_the_frames_before_the_cut_are_the_true_ones(tmp_path):
    frames = noisy_frames(60)
    path = cut(write_video(tmp_path / "v.mp4", frames), 0.5)
    kept = list(VideoReader(path, on_truncated="keep"))
    assert all(np.abs(frame.pixels.astype(int) - frames[frame.index]).mean() < 20 for frame in kept)


def test_bytes_damaged_in_the_middle_are_noticed(tmp_path):
    path = write_video(tmp_path / "v.mp4", noisy_frames(60))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    assert "declares 60 frames" in sentence(path)


def test_frames_trimmed_by_an_edit_list_are_not_missing(tmp_path):
    reader = VideoReader(write_video(tmp_path / "v.mp4", 20, first_pts=-8))
    assert [index_of(frame.pixels) for frame in reader] == list(range(8, 20))
    assert reader.info.num_frames_declared == reader.count_frames() == 12
    assert reader.problem is None


def test_what_is_not_a_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    assert "no such video" in sentence(tmp_path / "missing.mp4")
    assert "can't be read as a video" in sentence(tmp_path / "text.mp4")
    assert "empty" in sentence(tmp_path / "empty.mp4")
    assert "jpg or png" in sentence(tmp_path / "folder")


def test_a_file_without_its_list_of_frames(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:  # the list stands at the end, and is cut off
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for picture in noisy_frames(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    sentence(cut(path, 0.6))


def test_sound_without_pictures(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert "no video" in sentence(path)


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    write_png_header(tmp_path / "frames" / "0.png", 100_000, 100_000)
    with pytest.raises(VideoError, match="absurd"):
        VideoReader(tmp_path / "frames")
    write_png_header(tmp_path / "large" / "0.png", 9000, 9000)
    with pytest.raises(VideoError, match="9000x9000"):
        VideoReader(tmp_path / "large")
    path = write_video(tmp_path / "v.mp4", 2)
    monkeypatch.setattr(frames_module, "MAX_PIXELS", 1000)
    assert "64x48" in sentence(path)


def test_a_broken_picture_and_one_of_another_size_are_named(tmp_path):
    folder = write_images(tmp_path / "a", 3)
    cut(folder / "frame1.png", 0.5)
    with pytest.raises(VideoError, match=r"frame1\.png"):
        list(VideoReader(folder))
    reader = VideoReader(folder, on_truncated="keep")
    assert len(list(reader)) == 1
    assert "frame1.png" in reader.problem
    folder = write_images(tmp_path / "b", 3)
    Image.new("RGB", (10, 12)).save(folder / "frame2.png")
    with pytest.raises(VideoError, match=r"frame2\.png is 10x12.*64x48"):
        list(VideoReader(folder))


def test_pictures_are_turned_as_the_camera_says(tmp_path):
    (tmp_path / "frames").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(numbered_frame(0)).save(tmp_path / "frames" / "0.jpg", exif=exif, quality=95)
    reader = VideoReader(tmp_path / "frames")
    assert (reader.info.width, reader.info.height) == (48, 64)
    assert np.abs(next(iter(reader)).pixels.astype(int) - np.rot90(numbered_frame(0), -1)).mean() < 8


def test_sixteen_bit_pictures_keep_their_brightness(tmp_path):
    (tmp_path / "frames").mkdir()
    Image.fromarray(np.full((8, 8), 200 * 256, np.uint16)).save(tmp_path / "frames" / "0.png")
    assert next(iter(VideoReader(tmp_path / "frames"))).pixels.tolist() == np.full((8, 8, 3), 200).tolist()


def test_a_name_is_never_taken_for_an_address_or_a_pattern(tmp_path):
    path = write_video(tmp_path / "http:clip %03d #1.mp4", 3)
    assert len(list(VideoReader(path))) == 3


def test_reading_takes_constant_memory(tmp_path):
    path = write_video(tmp_path / "v.mp4", noisy_frames(40) * 4)
    reader = VideoReader(path)
    tracemalloc.start()
    num_frames = sum(1 for _ in reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_frames == 160
    assert peak < 10 * 96 * 128 * 3


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_random_access_gives_the_same_pixels_as_reading_on(suffix, tmp_path):
    encoder = {"mp4": {"g": "9", "bf": "3"}, "mkv": {"g": "7"}, "webm": {"g": "10"}}.get(suffix, {})
    reader = VideoReader(write_video(tmp_path / f"v.{suffix}", 30, encoder=encoder))
    whole = list(reader)
    for indices in ([0], [29], [3, 4, 5], [8, 11, 14, 17, 20], [10, 11, 29]):
        for frame, index in zip(reader.read(indices), indices, strict=True):
            assert frame.index == index
            assert frame.time == pytest.approx(whole[index].time, abs=1e-6)
            assert np.array_equal(frame.pixels, whole[index].pixels)
    assert reader.count_frames() == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_counting_without_decoding_notices_the_cut(suffix, tmp_path):
    path = write_video(tmp_path / f"v.{suffix}", noisy_frames(60))
    assert VideoReader(path).count_frames() == 60
    cut(path, 0.6)
    with pytest.raises(VideoError, match=r"60 frames|about 60"):
        VideoReader(path).count_frames()
    assert 5 < VideoReader(path, on_truncated="keep").count_frames() < 60


def test_random_access_behind_the_cut_is_an_error(tmp_path):
    path = cut(write_video(tmp_path / "v.mp4", noisy_frames(60)), 0.5)
    with pytest.raises(VideoError, match="frame 50"):
        VideoReader(path).read([1, 50])
    with pytest.raises(VideoError, match="60"):
        VideoReader(path).count_frames()


def test_pictures_in_an_unknown_codec(tmp_path: Path):
    video = write_video(tmp_path / "a.avi", 3)
    video.write_bytes(video.read_bytes().replace(b"FMP4", b"ZZZZ"))
    assert "its pictures are packed in an unknown way" in sentence(video)


def test_a_picture_whose_data_is_damaged_though_its_checksums_are_right(tmp_path: Path):
    first = write_images(tmp_path / "frames", 2) / "frame0.png"
    content = first.read_bytes()
    start = content.index(b"IDAT")
    length = int.from_bytes(content[start - 4 : start], "big")
    body = b"IDAT" + b"\xff" * length
    content = content[:start] + body + zlib.crc32(body).to_bytes(4, "big") + content[start + 8 + length :]
    first.write_bytes(content)
    assert "can't be decoded as a picture" in sentence(tmp_path / "frames")
