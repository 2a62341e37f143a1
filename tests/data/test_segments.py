from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import cut, write_png_header
from PIL import Image

from slotkeeper.data.segments import check_segments_fit, load_segments, save_segments, segments_shape
from slotkeeper.errors import DataError

SEGMENTS = np.random.default_rng(0).integers(0, 5, (4, 6, 8)).astype(np.uint8)


def refused(path: Path) -> str:
    """The one line that says why; the same with and without loading the array."""
    with pytest.raises(DataError) as caught:
        load_segments(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("largest", [4, 255, 256, 65535])
def test_saving_and_loading_keeps_every_label(largest, tmp_path):
    segments = SEGMENTS.astype(np.int64)
    segments[0, 0, 0] = largest
    save_segments(tmp_path / "masks.npz", segments)
    loaded = load_segments(tmp_path / "masks.npz")
    assert loaded.dtype == (np.uint8 if largest < 256 else np.uint16)
    assert np.array_equal(loaded, segments)
    assert segments_shape(tmp_path / "masks.npz") == (4, 6, 8)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    for wrong in (-1, 65536):
        with pytest.raises(DataError, match=str(wrong)):
            save_segments(tmp_path / "masks.npz", np.full((1, 2, 2), wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["grey", "deep", "palette", "bits"])
def test_png_folders_in_natural_order(kind, tmp_path):
    for index in range(12):
        labels = np.full((6, 8), index % 2 if kind == "bits" else index, np.uint16 if kind == "deep" else np.uint8)
        image = Image.fromarray(labels)
        if kind == "palette":
            image.putpalette([7 * value % 256 for value in range(768)])
        if kind == "bits":
            image = Image.fromarray(labels.astype(bool))
        image.save(tmp_path / f"{index}.png")
    expected = [index % 2 if kind == "bits" else index for index in range(12)]
    assert load_segments(tmp_path)[:, 3, 4].tolist() == expected
    assert segments_shape(tmp_path) == (12, 6, 8)


def test_pickled_objects_are_never_read(tmp_path):
    path = tmp_path / "masks.npz"
    np.savez(path, masks=np.array([{"label": 1}], dtype=object))
    assert "pickled" in refused(path)
    with pytest.raises(DataError, match="pickled"):
        segments_shape(path)


def test_a_missing_key_names_what_is_there(tmp_path):
    path = tmp_path / "masks.npz"
    np.savez(path, mask=SEGMENTS)
    assert "did you mean 'mask'?" in refused(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (SEGMENTS.astype(np.float32), "float32"),
        (SEGMENTS.astype(np.int64), "int64"),
        (SEGMENTS[0], r"[6, 8]"),
        (SEGMENTS[:0], r"[0, 6, 8]"),
    ],
)
def test_wrong_types_and_shapes_are_named(wrong, said, tmp_path):
    np.savez(tmp_path / "masks.npz", masks=wrong)
    assert said in refused(tmp_path / "masks.npz")


def test_files_that_are_no_masks(tmp_path):
    (tmp_path / "text.npz").write_text("no masks")
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder").mkdir()
    np.savez_compressed(tmp_path / "cut.npz", masks=SEGMENTS)
    for name in ("missing.npz", "text.npz", "empty.npz", "folder"):
        refused(tmp_path / name)
    refused(cut(tmp_path / "cut.npz", 0.7))


def test_a_small_file_cannot_claim_a_huge_array(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**5,) * 3})
    with zipfile.ZipFile(tmp_path / "masks.npz", "w") as archive:
        archive.writestr("masks.npy", header.getvalue() + b"\0" * 10)
    assert "100000" in refused(tmp_path / "masks.npz")


def test_broken_folders_name_the_file(tmp_path):
    for index in range(3):
        Image.fromarray(SEGMENTS[index]).save(tmp_path / f"{index}.png")
    Image.fromarray(SEGMENTS[0, :3]).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png is 8x3, but the first is 8x6"):
        load_segments(tmp_path)
    Image.new("RGB", (8, 6)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png is a RGB picture"):
        load_segments(tmp_path)
    write_png_header(tmp_path / "1.png", 10**5, 10**5)
    with pytest.raises(DataError, match=r"1\.png"):
        load_segments(tmp_path)


def test_a_mismatch_names_both_files_and_both_figures():
    masks, video = Path("masks.npz"), Path("video.mp4")
    with pytest.raises(DataError, match=r"masks\.npz has masks of 4 frames, but video\.mp4 has 5"):
        check_segments_fit((4, 6, 8), masks, num_frames=5, height=6, width=8, video=video)
    with pytest.raises(DataError, match=r"masks\.npz has masks of 8x6 pixels, but video\.mp4 has 8x7"):
        check_segments_fit((4, 6, 8), masks, num_frames=4, height=7, width=8, video=video)
    check_segments_fit((4, 6, 8), masks, num_frames=None, height=6, width=8, video=video)


def test_damage_inside_a_whole_zip_file_is_named(tmp_path):
    np.savez_compressed(tmp_path / "packed.npz", masks=np.arange(12 * 64 * 64, dtype=np.uint16).reshape(12, 64, 64))
    content = bytearray((tmp_path / "packed.npz").read_bytes())
    content[200:260] = b"\xff" * 60
    (tmp_path / "packed.npz").write_bytes(content)
    refused(tmp_path / "packed.npz")
    for number, header in enumerate((b"(" * 5000, b"{'descr': '|u1', 'shape': (\n", b"-" * 9000 + b"1", b"\xff" * 50)):
        with zipfile.ZipFile(tmp_path / f"{number}.npz", "w") as archive:
            archive.writestr("masks.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        assert "can't be read as an npz file of masks" in refused(tmp_path / f"{number}.npz")


def test_masks_of_more_than_the_limit_are_refused_by_their_header(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "masks.npz", masks=SEGMENTS)
    monkeypatch.setattr("slotkeeper.data.segments._MAX_BYTES", SEGMENTS.nbytes - 1)
    assert "GB unpacked; at most" in refused(tmp_path / "masks.npz")
    with pytest.raises(DataError, match="at most"):
        segments_shape(tmp_path / "masks.npz")
