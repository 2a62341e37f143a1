"""H.264 files that play in browsers."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from slotkeeper.errors import OutputError
from slotkeeper.files import atomic_path

_TICKS_PER_FRAME = 100  # resolution of given times
_BT709 = 1  # colour matrix, primaries and transfer of ITU-R BT.709, by their number in H.264's table
_LIMITED_RANGE = 1


class VideoWriter:
    """Write RGB frames as H.264 (yuv420p), whole or not at all; use as a context manager.

    The header stands first, so that browsers start at once, and key frames come every second for exact scrubbing.
    H.264 in yuv420p has even sizes: odd frames are padded at the right and bottom by repeating their edge, and
    `padding` says by how much.

    Args:
        path: should end in .mp4.
        fps: frames per second.
        width, height: of the frames, before padding.
        crf: quality, 0 (lossless) to 51; 18 looks lossless.
        preset: the encoder's trade of time for size.
        num_threads: encoding threads; 0 lets the library choose.

    Raises:
        OutputError: the file can't be written (no space, no permission), or no frame was given.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: Fraction,
        width: int,
        height: int,
        crf: int = 18,
        preset: str = "veryfast",
        num_threads: int = 1,
    ) -> None:
        self.path = path
        self.padding = (width % 2, height % 2)
        """Columns and rows added to make the size even."""
        self.num_frames = 0
        """Frames written so far."""
        self._size = (height, width)
        self._fps = fps
        # No B frames: with them the declared length of a video of variable rate would leave out its last frames.
        self._options = {"crf": str(crf), "preset": preset, "threads": str(num_threads), "bf": "0"}
        self._options["g"] = str(max(1, round(fps)))
        self._reformatter = VideoReformatter()
        self._stack = ExitStack()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def __enter__(self) -> VideoWriter:
        partial = self._stack.enter_context(atomic_path(self.path))
        try:
            file = self._stack.enter_context(_OutputFile(partial))
            self._container = av.open(file, mode="w", format="mp4", options={"movflags": "+faststart"})
            self._stream = self._add_stream(self._container)
        except (av.error.FFmpegError, OSError) as error:
            self._stack.close()
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # leaves `atomic_path` with the error, if there is one, so that nothing half-written stays
            try:
                if error is not None:
                    raise error
                self._finish()
            except BaseException:
                self._abandon()
                raise

    def write(self, pixels: UInt8[np.ndarray, "h w 3"], *, time: float | None = None) -> None:
        """Append one frame. time: seconds, ascending, for variable frame rates; None continues at `fps`.

        Raises:
            ValueError: the frame's size isn't the writer's.
            OutputError: the disk is full or not writable.
        """
        if pixels.shape[:2] != self._size:
            raise ValueError(f"{self.path} takes frames of {self._size}, got {pixels.shape[:2]}")
        right, bottom = self.padding
        if right or bottom:
            pixels = np.pad(pixels, ((0, bottom), (0, right), (0, 0)), mode="edge")
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE, threads=1
        )
        ticks = self.num_frames * _TICKS_PER_FRAME if time is None else round(time * self._fps * _TICKS_PER_FRAME)
        frame.pts, frame.duration = ticks, _TICKS_PER_FRAME
        frame.time_base = 1 / (self._fps * _TICKS_PER_FRAME)
        self._encode(frame)
        self.num_frames += 1

    def _add_stream(self, container: OutputContainer) -> VideoStream:
        stream = container.add_stream("libx264", rate=self._fps, options=self._options)
        stream.height, stream.width = self._size[0] + self.padding[1], self._size[1] + self.padding[0]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / (self._fps * _TICKS_PER_FRAME)
        # Without these tags players guess the colours from the picture's size.
        stream.codec_context.colorspace = stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        return stream

    def _encode(self, frame: av.VideoFrame | None) -> None:
        if self._container is None or self._stream is None:
            raise RuntimeError("VideoWriter is used outside its with-block")
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _finish(self) -> None:
        if self.num_frames == 0:
            raise OutputError(f"can't write {self.path}: no frame was given")
        self._encode(None)
        assert self._container is not None
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _abandon(self) -> None:
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError):  # the file is thrown away; the first error is the one to tell
                self._container.close()

    def _failure(self, error: av.error.FFmpegError | OSError) -> OutputError:
        return OutputError(f"can't write {self.path}: {error.strerror or error}")


class _OutputFile:
    """A file that the encoding library writes through us: where a disk is full, it would never close one of its own.

    name: for its second look, when it puts the header in front.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._file = path.open("w+b", buffering=0)

    def __enter__(self) -> _OutputFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, part: bytes) -> int:
        """Write all of it: the library would not notice a part that is missing."""
        rest = memoryview(part)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        return len(part)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of files."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of files."""
        return self._file.tell()
