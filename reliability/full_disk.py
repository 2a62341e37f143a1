"""Every command that writes, on a real small disk: filled to the last byte at many places, and read-only.

python -m reliability.full_disk [--places 12] [--only track] [--work runs/full-disk]

The disk is a tmpfs of 64 MB, so mounting must be allowed (root, or user namespaces: then the script starts itself
again in one). Each command runs once with room; then from the start again with so little room that it stops
somewhere, at `--places` places evenly between nothing and enough. It must end with exit code 2 and one sentence that
names a place on the disk, leave what was there before as it was, and nothing half-written in sight; with room again
the next command must end well. The same on the disk mounted read-only. Exit code 1 where that isn't so.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reliability.kills import small_config
from slotkeeper.build import load_model
from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.cli import main as slotkeeper
from slotkeeper.config import write_yaml

DISK_BYTES = 64 * 2**20
_INSIDE = "SLOTKEEPER_RELIABILITY_NAMESPACE"
_BALLAST = "ballast"
_MAX_SENTENCE_LINES = 1


@dataclass(frozen=True, kw_only=True)
class Command:
    """Something that writes.

    arguments: for the command line, given the disk and a folder elsewhere. again: the same once it was stopped, where
    that is another command. partial: whether what is there after a stop may be used; raises where it is broken.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]
    again: Callable[[Path, Path], list[str]] | None = None
    is_usable: Callable[[Path], None] = lambda disk: None


@dataclass
class Outcome:
    """What became of one command over all places."""

    stops: int = 0
    ends: int = 0
    named: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def _train(disk: Path, away: Path) -> list[str]:
    return ["train", str(away / "run.yaml"), "--out", str(disk / "run"), "--quiet"]


def _go_on(disk: Path, away: Path) -> list[str]:
    has_config = (disk / "run" / "config.yaml").exists()
    return ["resume", str(disk / "run"), "--quiet"] if has_config else _train(disk, away)


def _load_newest(disk: Path) -> None:
    if list_checkpoints(disk / "run"):
        load_model(disk / "run")


def _render(disk: Path, _: Path) -> list[str]:
    sizes = ["--num-videos", "3", "--num-frames", "4", "--size", "32", "--workers", "0"]
    return ["data", "render", "plain", "--out", str(disk / "scenes"), *sizes]


def _track(disk: Path, away: Path) -> list[str]:
    return ["track", str(away / "scenes"), "--model", str(away / "run"), "--out", str(disk / "tracks"), "--quiet"]


def _whole_folders(disk: Path) -> None:
    """Each visible folder of videos or of results has all its files."""
    for folder in [*disk.glob("scenes/[0-9]*"), *disk.glob("tracks/*/")]:
        names = {entry.name for entry in folder.iterdir()}
        wanted = {"video.mp4", "masks.npz"} if folder.parent.name == "scenes" else {"report.html", "masks.npz"}
        if not wanted <= names:
            raise ValueError(f"{folder} holds only {sorted(names)}")


COMMANDS = (
    Command(name="data render", arguments=_render, is_usable=_whole_folders),
    Command(name="train", arguments=_train, again=_go_on, is_usable=_load_newest),
    Command(name="track", arguments=_track, is_usable=_whole_folders),
    Command(
        name="evaluate --json",
        arguments=lambda disk, away: [
            *("evaluate", str(away / "run"), str(away / "scenes"), "--json", str(disk / "scores" / "scores.json")),
            "--quiet",
        ],
    ),
    Command(
        name="score --json",
        arguments=lambda disk, away: [
            *("score", str(away / "scenes"), str(away / "scenes"), "--json", str(disk / "scores" / "scores.json"))
        ],
    ),
    Command(
        name="data inspect --sheet",
        arguments=lambda disk, away: ["data", "inspect", str(away / "scenes"), "--sheet", str(disk / "sheet.png")],
    ),
    Command(
        name="compare",
        arguments=lambda disk, away: [
            *("compare", str(away / "plan.yaml"), "--out", str(disk / "compared"), "--jobs", "1", "--quiet")
        ],
    ),
)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of its own on a folder."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used_bytes(disk: Path) -> int:
    """Of the disk."""
    facts = os.statvfs(disk)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def leave_room(disk: Path, num_bytes: int) -> None:
    """Fill the disk but for this much."""
    room = DISK_BYTES - used_bytes(disk) - num_bytes
    with (disk / _BALLAST).open("wb") as file:
        for _ in range(room // 4096):
            file.write(bytes(4096))


def run(arguments: list[str]) -> tuple[int | str, str]:
    """Exit code and what was said on stderr; a bug gives its name for the code."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: int | str = slotkeeper(arguments)
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    lines = [line.rsplit("\r", 1)[-1] for line in said.getvalue().splitlines()]
    return code, "\n".join(line for line in lines if line and "video/s]" not in line)


def snapshot(disk: Path) -> dict[str, bytes]:
    """All files in sight."""
    files = [path for path in disk.rglob("*") if path.is_file() and path.name != _BALLAST]
    return {
        str(path.relative_to(disk)): path.read_bytes()
        for path in files
        if not _is_hidden(path, disk) and not path.name.startswith("events.out.")  # these are named by time
    }


def _is_hidden(path: Path, disk: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(disk).parts)


def judge(disk: Path, what: str, code: int | str, said: str, outcome: Outcome) -> None:
    """Note what is wrong with how a command stopped."""
    if code == 0:
        outcome.ends += 1
        return
    outcome.stops += 1
    if code != 2:
        outcome.faults.append(f"{what}: exit code {code}; {said[-300:]}")
    elif str(disk) not in said:
        outcome.faults.append(f"{what}: the sentence names no place: {said[-300:]}")
    elif len(said.splitlines()) > _MAX_SENTENCE_LINES:
        outcome.faults.append(f"{what}: more than a sentence: {said[-600:]}")
    outcome.named |= {word.strip(":;,").removeprefix(f"{disk}/") for word in said.split() if str(disk) in word}
    leftovers = [path for path in disk.rglob(".partial-*")]
    if leftovers:
        outcome.faults.append(f"{what}: {leftovers[0]} is left")


def try_places(command: Command, disk: Path, away: Path, num_places: int) -> Outcome:
    """One command on a disk that is filled at different places, then read-only."""
    outcome = Outcome()
    code, said = run(command.arguments(disk, away))
    if code != 0:
        sys.exit(f"{command.name} fails with room: {code}, {said}")
    needed = used_bytes(disk)
    former = snapshot(disk)
    for number in range(num_places):
        has_former = number % 2 == 1 and command.again is None and command.name != "data render"
        if not has_former:
            _clear(disk)
        room = int(needed * number / num_places) // 4096 * 4096
        leave_room(disk, room)
        what = f"{command.name} with {room // 1024} kB {'beside former results' if has_former else ''}"
        code, said = run(command.arguments(disk, away))
        judge(disk, what, code, said, outcome)
        try:
            command.is_usable(disk)
        except Exception as error:
            outcome.faults.append(f"{what}: what is there can't be used: {error}")
        if has_former and code != 0 and snapshot(disk).keys() != former.keys():
            outcome.faults.append(f"{what}: former results are gone")
        (disk / _BALLAST).unlink()
        code, said = run((command.again or command.arguments)(disk, away))
        if code != 0:
            outcome.faults.append(f"{what}, then with room again: exit code {code}; {said[-300:]}")
        if snapshot(disk).keys() != former.keys() and command.name != "train":
            odd = snapshot(disk).keys() ^ former.keys()
            outcome.faults.append(f"{what}, then with room again: other files than at once: {sorted(odd)[:5]}")
    _try_read_only(command, disk, away, outcome)
    return outcome


def _try_read_only(command: Command, disk: Path, away: Path, outcome: Outcome) -> None:
    former = snapshot(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        code, said = run(command.arguments(disk, away))
        whole_again = command.name == "data render" and code == 0  # nothing was to be written
        if not whole_again:
            judge(disk, f"{command.name}, read-only", code, said, outcome)
            if code == 0:
                outcome.faults.append(f"{command.name}, read-only: exit code 0")
        if snapshot(disk) != former:
            outcome.faults.append(f"{command.name}, read-only: files changed")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def _clear(disk: Path) -> None:
    for entry in disk.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def prepare(away: Path) -> None:
    """Videos, a trained run and a plan, on another disk."""
    config = small_config(away / "training-scenes", 6)
    away.mkdir(parents=True, exist_ok=True)
    (away / "run.yaml").write_text(write_yaml(config), encoding="utf-8")
    variant = {"name": "learned", "set": {"model.initializer": {"name": "learned"}}}
    plan = {"base": "run.yaml", "seeds": [0], "budget": {"steps": 4}, "variants": [variant]}
    (away / "plan.yaml").write_text(write_yaml(plan), encoding="utf-8")
    if not (away / "run" / "metrics.json").exists():
        shutil.rmtree(away / "run", ignore_errors=True)
        assert slotkeeper(["train", str(away / "run.yaml"), "--out", str(away / "run"), "--quiet"]) == 0
    assert slotkeeper(_render(away, away)) == 0


def enter_namespace() -> None:
    """Start this script again where it may mount, if it may not here."""
    if os.geteuid() != 0 and _INSIDE not in os.environ:
        command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "reliability.full_disk"]
        os.execvpe(command[0], [*command, *sys.argv[1:]], dict(os.environ) | {_INSIDE: "1"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=12)
    parser.add_argument("--only", choices=[command.name for command in COMMANDS])
    parser.add_argument("--work", type=Path, default=Path("runs/full-disk"))
    options = parser.parse_args()
    enter_namespace()
    away = options.work.absolute() / "away"
    prepare(away)
    faults = []
    print(f"{'command':<22} {'stopped':>7} {'ended':>6} {'faults':>7}", flush=True)
    for command in COMMANDS:
        if options.only not in (None, command.name):
            continue
        with small_disk(options.work.absolute() / "disk") as disk:
            outcome = try_places(command, disk, away, options.places)
        faults += outcome.faults
        print(f"{command.name:<22} {outcome.stops:>7} {outcome.ends:>6} {len(outcome.faults):>7}", flush=True)
        print(f"  stopped at {', '.join(sorted(outcome.named))}", flush=True)
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
