"""DAVIS 2016 (Perazzi et al., CVPR 2016) and 2017 (Pont-Tuset et al., arXiv 1704.00675): pictures, masks and lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from jaxtyping import UInt

from slotkeeper.data.sources.frame_folders import FrameFolders
from slotkeeper.data.sources.source import SourceVideo, Split
from slotkeeper.errors import DataError

_RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
_LISTS: dict[str, Split] = {"train": "train", "val": "val", "test-dev": "test", "test-challenge": "test"}


class Davis17(FrameFolders):
    """Several objects, `JPEGImages/480p/NAME/*.jpg` with `Annotations/480p/NAME/*.png` and `ImageSets/2017/*.txt`."""

    expects = "JPEGImages/480p, Annotations/480p and ImageSets (the folder DAVIS of the download)"
    list_folders: ClassVar[tuple[str, ...]] = ("2017",)

    def videos(self) -> Iterator[SourceVideo]:
        """The videos that the lists name; without lists all there are."""
        resolution = next((name for name in _RESOLUTIONS if (self.root / "JPEGImages" / name).is_dir()), None)
        if resolution is None:
            raise self.missing()
        frames, masks = self.root / "JPEGImages" / resolution, self.root / "Annotations" / resolution
        listed = self._listed()
        names = list(listed) or sorted(entry.name for entry in frames.iterdir() if entry.is_dir())
        for name in names:
            folder = self.named(frames, name)
            if not folder.is_dir():
                continue  # the lists name more than each download holds
            yield self.video_in(folder, listed.get(name), masks / name)

    def _listed(self) -> dict[str, Split]:
        """Names of videos, from the first folder of lists that is there."""
        for folder in (self.root / "ImageSets" / name for name in self.list_folders):
            lists = {folder / f"{name}.txt": split for name, split in _LISTS.items()}
            found = {
                name: split for path, split in lists.items() if path.is_file() for name in _names(self.inside(path))
            }
            if found:
                return found
        return {}


class Davis16(Davis17):
    """One object a video, whoever takes part in it; also from the pictures of 2017, whose objects become one."""

    list_folders: ClassVar[tuple[str, ...]] = ("2016", "480p", "1080p")

    def relabelled(self, segments: UInt[np.ndarray, "t h w"]) -> UInt[np.ndarray, "t h w"]:
        """Everything that is marked becomes 1 (2016 marks with 255)."""
        return (segments > 0).astype(np.uint8)


def _names(path: Path) -> list[str]:
    """Videos of a list: a name a line, or the paths of a frame and its mask."""
    try:
        lines = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"can't read the list {path}: {error}") from error
    return list(dict.fromkeys(PurePosixPath(line).parent.name if "/" in line else line for line in lines))
