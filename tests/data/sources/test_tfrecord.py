"""TFRecord files, tf.train messages and CRC-32C, against writers that share no code with the readers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from record_files import (
    example,
    field,
    frame_record,
    masked_crc,
    sequence_example,
    slow_crc32c,
    varint,
    write_records,
)

from slotkeeper.data.sources.crc32c import crc32c
from slotkeeper.data.sources.example import Example
from slotkeeper.data.sources.tfrecord import RecordFile
from slotkeeper.errors import DataError

RECORDS = [b"first", b"", bytes(range(256)) * 40]


def test_the_check_value_of_crc_32c():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, in the catalogue of CRCs
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 31, 1000, 262_143, 262_144, 300_001])
def test_crc_32c_in_lanes_is_that_of_one_byte_after_the_other(size: int):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == slow_crc32c(data)


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "zlib"])
def test_records_come_back_in_any_order(tmp_path: Path, is_packed: bool):
    file = RecordFile(write_records(tmp_path / "a.tfrecord", RECORDS, is_packed=is_packed))
    records = list(file.records())
    assert [record.num_bytes for record in records] == [len(record) for record in RECORDS]
    assert [file.read(records[place]) for place in (0, 2, 1)] == [RECORDS[place] for place in (0, 2, 1)]


@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "zlib"])
@pytest.mark.parametrize("cut", [3, 20, 40])
def test_a_file_that_was_cut_off_gives_its_whole_records_and_says_so(tmp_path: Path, is_packed: bool, cut: int):
    content = write_records(tmp_path / "a.tfrecord", [b"first", b"second"], is_packed=is_packed).read_bytes()
    path = tmp_path / "cut.tfrecord"
    path.write_bytes(content[:-cut] if is_packed else content[: len(content) - cut])
    with pytest.raises(DataError, match=r"cut off|unpacked"):
        list(RecordFile(path).records())


def test_damaged_bytes_are_noticed_by_their_checksum(tmp_path: Path):
    content = bytearray(frame_record(b"something") + frame_record(b"else"))
    content[14] ^= 1
    (tmp_path / "a.tfrecord").write_bytes(content)
    file = RecordFile(tmp_path / "a.tfrecord")
    broken, whole = file.records()
    with pytest.raises(DataError, match="record 0 is damaged"):
        file.read(broken)
    assert file.read(whole) == b"else"


@pytest.mark.parametrize("claim", [2**63, 2**64 - 1, 2**40])
def test_a_record_that_claims_an_absurd_length_is_refused_before_memory_is_taken(tmp_path: Path, claim: int):
    length = struct.pack("<Q", claim)
    (tmp_path / "a.tfrecord").write_bytes(length + masked_crc(length) + b"short")
    with pytest.raises(DataError, match="claims"):
        list(RecordFile(tmp_path / "a.tfrecord").records())


def test_lists_and_records_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_records(tmp_path / "a.tfrecord", [b""] * 4, is_packed=True)
    monkeypatch.setattr("slotkeeper.data.sources.tfrecord._MAX_RECORDS", 3)
    with pytest.raises(DataError, match="more than 3 records"):
        list(RecordFile(tmp_path / "a.tfrecord").records())
    monkeypatch.setattr("slotkeeper.data.sources.example._MAX_PARTS", 3)
    with pytest.raises(DataError, match="more than 3 parts"):
        Example(sequence_example({}, {"frames": [[b""]] * 4}), "here")


def test_something_else_is_no_tfrecord_file(tmp_path: Path):
    (tmp_path / "a.tfrecord").write_bytes(b"this is a text, not a record file")
    with pytest.raises(DataError, match="checksum is wrong"):
        list(RecordFile(tmp_path / "a.tfrecord").records())


def test_an_example_gives_bytes_and_numbers():
    numbers = [0, 1, 127, 128, 65535, 2**40, -1]
    read = Example(example({"a": [b"x", b"", b"yz"], "b": [0.5, -2.0], "c": numbers}), "here")
    assert read.byte_strings("a") == [b"x", b"", b"yz"]
    assert read.floats("b").tolist() == [0.5, -2.0]
    assert read.ints("c").tolist() == numbers
    assert "d" not in read
    assert read.names() == ["a", "b", "c"]


def test_numbers_that_are_not_packed_are_read_too():
    loose = field(3, b"".join(b"\x08" + varint(number) for number in (3, 300)))
    entry = field(1, field(1, b"n") + field(2, loose))
    assert Example(field(1, entry), "here").ints("n").tolist() == [3, 300]


def test_lists_of_a_sequence_example_follow_each_other():
    read = Example(sequence_example({"id": [b"v"]}, {"frames": [[b"1"], [b"2", b"3"]], "times": [[1], [2]]}), "here")
    assert read.byte_strings("id") == [b"v"]
    assert read.byte_strings("frames") == [b"1", b"2", b"3"]
    assert read.ints("times").tolist() == [1, 2]


@pytest.mark.parametrize(
    "content",
    [b"\x0a\xff\xff\xff\xff\x7f", b"\xff" * 20, b"\x0f", field(1, field(1, b"\x0a\x05ab")), b"\x0a"],
    ids=["long field", "endless number", "wire type", "name cut off", "length missing"],
)
def test_a_damaged_message_is_one_sentence(content: bytes):
    with pytest.raises(DataError, match="here is no readable"):
        Example(content, "here")


def test_a_feature_that_is_missing_or_of_another_kind_is_one_sentence():
    read = Example(example({"a": [b"x"], "c": [1]}), "here")
    with pytest.raises(DataError, match="no feature 'b'"):
        read.ints("b")
    with pytest.raises(DataError, match="another kind"):
        read.ints("a")
    endless = field(1, field(1, field(1, b"c") + field(2, field(3, field(1, b"\xff\xff")))))
    with pytest.raises(DataError, match="don't end"):
        Example(endless, "here").ints("c")


def test_random_damage_never_ends_in_another_error():
    content = bytearray(example({"a": [b"x" * 30], "b": [0.5] * 9, "c": list(range(200))}))
    random, num_refused = np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(len(damaged), size=3):
            damaged[place] = random.integers(256)
        try:
            read = Example(bytes(damaged), "here")
            read.byte_strings("a"), read.floats("b"), read.ints("c")
        except DataError:
            num_refused += 1
    assert 30 < num_refused < 300  # damage to a value is none to the format
