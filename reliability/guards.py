"""What a run must not do, and how that is noticed: files elsewhere, other programs, connections, memory."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.symlink": 1, "os.link": 1}
"""Events that change a file, and which of their arguments names it."""
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
Listing = dict[str, tuple[int, int]]


class EscapeWatch:
    """Notes what happens outside one folder while it watches, by Python's audit events.

    An audit hook stays for the rest of the process, so make one watch and use it often.
    """

    def __init__(self) -> None:
        self._allowed: Path | None = None
        self._seen: list[str] = []
        sys.addaudithook(self._note)

    @contextmanager
    def watching(self, allowed: Path) -> Iterator[list[str]]:
        """Give a list to which everything is added that happens outside `allowed`."""
        self._allowed, self._seen = allowed.resolve(), []
        try:
            yield self._seen
        finally:
            self._allowed = None

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event in _PROGRAMS and not str(arguments[0]).endswith("uname"):  # by which Python names the processor
            self._seen.append(f"{event} {arguments!r:.200}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            self._note_file("open", arguments[0])
        elif event in _CHANGES:
            self._note_file(event, arguments[_CHANGES[event]])

    def _note_file(self, event: str, name: Any) -> None:
        if isinstance(name, int) or self._allowed is None:
            return
        path = os.path.realpath(os.fsdecode(name))
        if path != os.devnull and not Path(path).is_relative_to(self._allowed):
            self._seen.append(f"{event} {path}")


def list_files(root: Path, without: Path) -> Listing:
    """Size and time of change of all files below `root`, those below `without` left out."""
    found = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == without:
            folders.clear()
            continue
        for name in files:
            path = Path(folder, name)
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


def limit_memory(extra_bytes: int) -> None:
    """Let this process take so much more private memory than it holds now; beyond that allocation fails."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (held + extra_bytes, resource.RLIM_INFINITY))


def forget_peak_memory() -> None:
    """Begin to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Largest resident size since `forget_peak_memory`, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
