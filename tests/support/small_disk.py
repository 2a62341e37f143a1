"""A real file system of a few megabytes, where mounting is allowed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZE = 16 * 2**20


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Skips the test where nothing can be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, leaving: int) -> Path:
    """Use up all but so many bytes; removing the file that is returned gives them back."""
    facts = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, facts.f_bavail * facts.f_frsize - leaving) // 4096 * 4096))
    return ballast


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written meanwhile, by nobody; fails where a file was left open."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
