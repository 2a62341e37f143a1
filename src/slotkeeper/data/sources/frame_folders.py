"""Data sets that are folders of pictures: OBJ3D, and everything in the layout of MOSE and YouTube-VOS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from slotkeeper.data.derived import DerivedMasks
from slotkeeper.data.image_folder import list_images
from slotkeeper.data.segments import read_mask
from slotkeeper.data.sources.pictures import frames_of, labels_of
from slotkeeper.data.sources.source import SPLIT_OF_WORD, FolderSource, SourceVideo, Split, VideoContent
from slotkeeper.errors import DataError


class FrameFolders(FolderSource):
    """Base of data sets with a folder of pictures for each video; a subclass says which folders belong together."""

    def video_in(self, frames: Path, split: Split | None, masks: Path | None = None) -> SourceVideo:
        """The video of a folder of pictures, called like it. masks: are used if there is one for every frame."""
        pictures = _pictures(frames)
        marked = _pictures(masks) if masks is not None and masks.is_dir() else []
        labels = None
        if masks is not None and marked and len(marked) == len(pictures):
            labels = DerivedMasks(
                name=masks.name,
                place=str(masks),
                files=partial(_pictures, masks),
                load=partial(self._labels, masks),
                shape=partial(_shape, marked),
            )
        return SourceVideo(
            video_id=frames.name,
            split=split,
            place=str(frames),
            read=partial(self._read, frames, labels),
            files=(*pictures, *(marked if labels is not None else ())),
            video=frames,
            masks=labels,
        )

    def _read(self, folder: Path, labels: DerivedMasks | None) -> VideoContent:
        frames = [self.inside(file) for file in _pictures(folder)]
        if not frames:
            raise DataError(f"{folder} has no frames")
        return VideoContent(frames=frames_of(frames), segments=None if labels is None else labels.load())

    def _labels(self, folder: Path) -> UInt[np.ndarray, "t h w"]:
        return self.relabelled(labels_of([self.inside(file) for file in _pictures(folder)], str(folder)))

    def relabelled(self, segments: UInt[np.ndarray, "t h w"]) -> UInt[np.ndarray, "t h w"]:
        """What is marked as void (255), where nobody said what it is, becomes background."""
        return np.where(segments == 255, segments.dtype.type(0), segments)


class Obj3d(FrameFolders):
    """OBJ3D of G-SWM (Lin et al., ICML 2020, arXiv 2010.02054): `train/NUMBER/test_1.png` and so on; no masks."""

    expects = "train/, val/ and test/ with a folder of pictures for each video"

    def videos(self) -> Iterator[SourceVideo]:
        """All folders of pictures of the three sides."""
        sides = [self.root / name for name in ("train", "val", "test") if (self.root / name).is_dir()]
        if not sides:
            raise self.missing()
        for side in sides:
            for folder in _folders(side):
                yield self.video_in(folder, SPLIT_OF_WORD[side.name])


class Mose(FrameFolders):
    """`[SIDE/]JPEGImages/NAME/*.jpg` and `[SIDE/]Annotations/NAME/*.png` (MOSE, Ding et al., arXiv 2302.01872).

    Videos whose masks don't cover every frame, such as those held out, come without masks.
    """

    expects = "train/JPEGImages/NAME/*.jpg and train/Annotations/NAME/*.png, also valid/ and test/, or no such sides"

    def videos(self) -> Iterator[SourceVideo]:
        """All folders of pictures."""
        sides = [self.root, *(self.root / word for word in SPLIT_OF_WORD)]
        sides = [side for side in sides if (side / "JPEGImages").is_dir()]
        if not sides:
            raise self.missing()
        for side in sides:
            split = None if side == self.root else SPLIT_OF_WORD[side.name]
            for folder in _folders(side / "JPEGImages"):
                yield self.video_in(folder, split, side / "Annotations" / folder.name)


def _pictures(folder: Path) -> list[Path]:
    return [Path(str(file)) for file in list_images(folder)]


def _shape(masks: list[Path]) -> tuple[int, int, int]:
    height, width = read_mask(masks[0]).shape
    return len(masks), height, width


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
