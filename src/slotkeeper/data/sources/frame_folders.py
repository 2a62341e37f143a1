"""Data sets that are folders of pictures: OBJ3D, and everything in the layout of MOSE and YouTube-VOS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from slotkeeper.data.image_folder import list_images
from slotkeeper.data.sources.pictures import frames_of, labels_of
from slotkeeper.data.sources.source import SPLIT_OF_WORD, FolderSource, PlainVideo, SourceVideo, VideoContent
from slotkeeper.errors import DataError


class FrameFolders(FolderSource):
    """Base of those whose videos can be used where they lie; a subclass says which folders belong together."""

    def videos(self) -> Iterator[SourceVideo]:
        """The same videos, read when asked for."""
        for video in self.plain_videos():
            masks = list_images(video.masks) if video.masks is not None else []
            yield SourceVideo(
                video_id=video.video_id,
                split=video.split,
                place=str(video.video),
                read=partial(self._read, video),
                files=tuple(Path(str(file)) for file in (*list_images(video.video), *masks)),
            )

    def _read(self, video: PlainVideo) -> VideoContent:
        frames = [self.inside(Path(str(file))) for file in list_images(video.video)]
        if not frames:
            raise DataError(f"{video.video} has no frames")
        if video.masks is None:
            return VideoContent(frames=frames_of(frames))
        masks = [self.inside(Path(str(file))) for file in list_images(video.masks)]
        return VideoContent(frames=frames_of(frames), segments=self.relabelled(labels_of(masks, str(video.masks))))

    def relabelled(self, segments: UInt[np.ndarray, "t h w"]) -> UInt[np.ndarray, "t h w"]:
        """What is marked as void (255), where nobody said what it is, becomes background."""
        return np.where(segments == 255, segments.dtype.type(0), segments)


class Obj3d(FrameFolders):
    """OBJ3D of G-SWM (Lin et al., ICML 2020, arXiv 2010.02054): `train/NUMBER/test_1.png` and so on; no masks."""

    expects = "train/, val/ and test/ with a folder of pictures for each video"

    def plain_videos(self) -> Iterator[PlainVideo]:
        """All folders of pictures of the three sides."""
        sides = [self.root / name for name in ("train", "val", "test") if (self.root / name).is_dir()]
        if not sides:
            raise self.missing()
        for side in sides:
            for folder in _folders(side):
                yield PlainVideo(video_id=folder.name, split=SPLIT_OF_WORD[side.name], video=folder, masks=None)


class Mose(FrameFolders):
    """`[SIDE/]JPEGImages/NAME/*.jpg` and `[SIDE/]Annotations/NAME/*.png` (MOSE, Ding et al., arXiv 2302.01872).

    Videos whose masks don't cover every frame, such as those held out, come without masks.
    """

    expects = "train/JPEGImages/NAME/*.jpg and train/Annotations/NAME/*.png, also valid/ and test/, or no such sides"

    def plain_videos(self) -> Iterator[PlainVideo]:
        """All folders of pictures."""
        sides = [self.root, *(self.root / word for word in SPLIT_OF_WORD)]
        sides = [side for side in sides if (side / "JPEGImages").is_dir()]
        if not sides:
            raise self.missing()
        for side in sides:
            split = None if side == self.root else SPLIT_OF_WORD[side.name]
            for folder in _folders(side / "JPEGImages"):
                masks = whole_masks(side / "Annotations" / folder.name, folder)
                yield PlainVideo(video_id=folder.name, split=split, video=folder, masks=masks)


def whole_masks(masks: Path, frames: Path) -> Path | None:
    """A folder of masks if it has one for every frame."""
    if not masks.is_dir() or len(list_images(masks)) != len(list_images(frames)):
        return None
    return masks


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
