"""How a command ended: its exit code, and what it left out."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from slotkeeper.files import write_json

DONE, USER_ERROR, SOME_SKIPPED = 0, 2, 3


def report_skipped(skipped: Sequence[tuple[str, str]], folder: Path | None) -> int:
    """Name what was left out, on stderr and in the folder's skipped.json; returns the exit code.

    Without any, an older list in the folder goes.
    """
    for name, reason in skipped:
        is_named = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", reason) is not None
        print(f"skipped: {reason if is_named else f'{name}: {reason}'}", file=sys.stderr)
    if folder is not None and skipped:
        write_json(folder / "skipped.json", [{"input": name, "reason": reason} for name, reason in skipped])
    elif (
        folder is not None and (folder / "skipped.json").exists()
    ):  # a whole folder may lie where nothing can be written
        (folder / "skipped.json").unlink(missing_ok=True)
    return SOME_SKIPPED if skipped else DONE
