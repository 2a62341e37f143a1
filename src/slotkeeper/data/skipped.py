"""What is said of a video that can't be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slotkeeper.data.media import MediaPath


@dataclass(frozen=True, kw_only=True)
class SkippedVideo:
    """A video that is left out, or only its readable part is not; with one sentence why.

    path: also of a folder or an address in which none was found. video_id: empty where it is given by its path alone.
    folder: of the results for its readable part, if any.
    """

    path: MediaPath | str
    reason: str
    video_id: str = ""
    folder: Path | None = None
