"""A small share of the fuzzing, and that it notices what it is there to notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reliability import fuzz, pool
from reliability.guards import list_files
from reliability.mutations import mutated_bytes, mutated_data, with_right_checksums
from reliability.originals import frames_and_segments
from reliability.outcomes import BrokenPromiseError, Outcome, attempt
from reliability.worker import KINDS, make_kind, run_case

from slotkeeper.errors import DataError

SHARES = {"video": 10, "config": 25, "masks": 20, "checkpoint": 4, "start": 15, "shard": 6}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


@pytest.mark.filterwarnings("ignore")  # as users see them
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs_are_refused_or_used(
    kind: str, originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = make_kind(kind, originals)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    results = [run_case(made, kind, 0, number, tmp_path, None) for number in range(SHARES[kind])]
    assert not [result["problem"] for result in results if result["problem"]]
    assert not [result["escapes"] for result in results if result["escapes"]]
    assert "refused" in {result["outcome"] for result in results}


@pytest.fixture
def support(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers find `misbehaving`."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"))


@pytest.mark.usefixtures("support")
def test_crashes_escapes_deaths_and_memory_are_noticed(tmp_path: Path):
    told = [result for _, result in pool.run_all("misbehaving:Misbehaving", 0, range(7), tmp_path)]
    assert [result["outcome"] for result in told] == [
        "crash",
        "accepted",
        "accepted",
        "accepted",
        "crash",
        "died",
        "crash",
    ]
    assert "ZeroDivisionError" in told[0]["problem"]
    assert "escaped" in str(told[1]["escapes"])
    assert "subprocess.Popen" in str(told[2]["escapes"])
    assert not told[3]["escapes"]
    assert "MemoryError" in told[4]["problem"]


@pytest.mark.usefixtures("support")
def test_a_hang_is_stopped_and_kept_with_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("reliability.pool.LONGEST_WAIT", 0.3)
    kind = "misbehaving:Sleeping"
    assert fuzz.main(["--kind", kind, "--count", "1", "--keep", str(tmp_path)]) == 1
    assert (
        f"hang: no answer after 0.0 s (); repeat: python -m reliability.fuzz --kind {kind}" in capsys.readouterr().err
    )
    assert (tmp_path / f"{kind}-0-0" / "input").exists()


def test_a_mutation_is_a_function_of_its_number():
    def mutated(number: int) -> bytes:
        return mutated_bytes(np.random.default_rng(number), bytes(range(256)), b"other")[0]

    assert mutated(1) == mutated(1)
    assert len({mutated(number) for number in range(20)}) > 15


def test_mutated_data_is_other_data_and_leaves_its_original_alone():
    original = {"a": [1, 2], "b": {"c": "text"}}
    changed = [mutated_data(np.random.default_rng(number), original)[0] for number in range(30)]
    assert original == {"a": [1, 2], "b": {"c": "text"}}
    assert sum(value != original for value in changed) > 25


def test_checksums_are_put_right(tmp_path: Path):
    from PIL import Image

    Image.fromarray(frames_and_segments()[1][0]).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    damaged = whole.replace(b"IHDR\x00\x00\x00\x40", b"IHDR\x00\x00\x00\x20")
    assert with_right_checksums(whole) == whole
    (tmp_path / "a.png").write_bytes(with_right_checksums(damaged))
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (32, 64)


def test_errors_of_several_lines_break_the_promise_of_one_sentence():
    def refuse(text: str) -> None:
        raise DataError(text)

    assert attempt(lambda: refuse("one sentence")) is Outcome.REFUSED
    with pytest.raises(BrokenPromiseError):
        attempt(lambda: refuse("two\nlines"))


def test_files_are_listed_with_what_tells_a_change(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "a").write_text("1")
    (tmp_path / "out" / "b").write_text("1")
    before = list_files(tmp_path, without=tmp_path / "out")
    assert [Path(path).name for path in before] == ["a"]
    (tmp_path / "a").write_text("22")
    assert list_files(tmp_path, without=tmp_path / "out") != before
