"""Videos as streams of frames, whatever they are stored in.

Phone rotation is applied, times come from the stream's own stamps (variable frame rates), and a file that ends before
what it declares is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

from slotkeeper.data.container import FilePass, Timeline
from slotkeeper.data.frames import VideoFrame, VideoInfo
from slotkeeper.data.image_folder import ImageFolder
from slotkeeper.data.media import MediaPath
from slotkeeper.errors import VideoError

__all__ = ["DEFAULT_FOLDER_FPS", "VideoFrame", "VideoInfo", "VideoReader"]

DEFAULT_FOLDER_FPS = Fraction(24)


class VideoReader:
    """Frames of a video file or of a folder of pictures, one at a time, as often as wanted.

    Iterating decodes from the start in constant memory. After a whole pass `problem` is None or a sentence saying that
    the file ended too soon; with `on_truncated="error"` that sentence is raised after the last good frame.

    Args:
        path: a video file, or a folder of jpg or png frames.
        on_truncated: "error" raises at a too early end, "keep" only sets `problem`.
        folder_fps: frames per second assumed for a folder of pictures.
        num_threads: decoding threads; 0 lets the library choose.

    Raises:
        VideoError: missing, empty, not a video, without one decodable frame, or of absurd size.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | MediaPath,
        *,
        on_truncated: Literal["error", "keep"] = "error",
        folder_fps: Fraction = DEFAULT_FOLDER_FPS,
        num_threads: int = 1,
    ) -> None:
        self.path: MediaPath = Path(path) if isinstance(path, str | os.PathLike) else path
        self.problem: str | None = None
        self._on_truncated = on_truncated
        self._num_threads = num_threads
        self._timeline: Timeline | None = None
        self._is_listed = False
        self._folder: ImageFolder | None = None
        if not self.path.exists():
            raise VideoError(f"no such video: {self.path}")
        if self.path.is_dir():
            self._folder = ImageFolder(self.path, fps=folder_fps)
            self.info: VideoInfo = self._folder.info
        else:
            self.info = self._new_pass().probe()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open between passes; a pass closes its file when it ends or is dropped."""

    def __iter__(self) -> Iterator[VideoFrame]:
        """Decode from the first frame on; a folder ends at its first broken picture.

        Raises:
            VideoError: the video ends too soon and `on_truncated` is "error", or it has no readable frame.
        """
        num_frames = 0
        for frame in self._good_frames():
            num_frames += 1
            yield frame
        if self.problem is not None and (self._on_truncated == "error" or num_frames == 0):
            raise VideoError(self.problem)

    def count_frames(self) -> int:
        """Exact number of frames, without decoding where the container allows it.

        Raises:
            VideoError: the file ends too soon and `on_truncated` is "error".
        """
        if self._folder is not None:
            return self.info.num_frames_declared or 0
        timeline = self._list_frames()
        if timeline is None:
            return sum(1 for _ in self)
        if timeline.problem is not None and self._on_truncated == "error":
            raise VideoError(timeline.problem)
        return len(timeline.stamps)

    def read(self, indices: Sequence[int]) -> list[VideoFrame]:
        """Frames at ascending `indices`: the same pixels as iterating gives, found by seeking.

        Raises:
            VideoError: one of them can't be read, for instance because the file is cut off before it.
        """
        if self._folder is not None:
            return [self._folder.frame(index) for index in indices]
        timeline = self._list_frames()
        found = self._read_by_decoding(indices) if timeline is None else self._read_by_seeking(indices, timeline)
        missing = [index for index in indices if index not in found]
        if missing:
            raise VideoError(f"{self.path}: frame {missing[0]} can't be read; the file is cut off or damaged there")
        return [found[index] for index in indices]

    def _good_frames(self) -> Iterator[VideoFrame]:
        """Frames up to the end or the damage; sets `problem` then."""
        if self._folder is None:
            file_pass = self._new_pass()
            yield from file_pass.frames(self.info)
            self.problem = file_pass.problem(self.info)
        else:
            try:
                yield from self._folder.frames()
            except VideoError as error:
                self.problem = str(error)

    def _new_pass(self) -> FilePass:
        return FilePass(self.path, num_threads=self._num_threads)

    def _list_frames(self) -> Timeline | None:
        if not self._is_listed:
            self._timeline, self._is_listed = self._new_pass().timeline(self.info), True
        return self._timeline

    def _read_by_seeking(self, indices: Sequence[int], timeline: Timeline) -> dict[int, VideoFrame]:
        """From the nearest key frame; where that fails, once more from the first one."""
        wanted = {timeline.stamps[index]: index for index in indices if index < len(timeline.stamps)}
        if not wanted:
            return {}
        found: dict[int, VideoFrame] = {}
        for start in (timeline.key_before(timeline.stamps[indices[0]]), timeline.stamps[0]):
            frames = self._new_pass().frames_at(wanted, start=start, first=timeline.stamps[0], info=self.info)
            found = {frame.index: frame for frame in frames}
            if len(found) == len(wanted):
                break
        return found

    def _read_by_decoding(self, indices: Sequence[int]) -> dict[int, VideoFrame]:
        wanted = set(indices)
        found: dict[int, VideoFrame] = {}
        for frame in self._new_pass().frames(self.info):
            if frame.index in wanted:
                found[frame.index] = frame
                if len(found) == len(wanted):
                    break
        return found
