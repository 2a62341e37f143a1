"""Videos that come through a pipe: they can be read only once, and nobody knows when they end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from io import IOBase
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer

from slotkeeper.data.container import CONTAINER_FORMATS, FilePass
from slotkeeper.data.frames import MAX_PIXELS, VideoFrame, VideoInfo, check_picture_size
from slotkeeper.data.stream_end import StreamEnd
from slotkeeper.errors import ConfigError, VideoError

STANDARD_INPUT = Path("-")
"""Stands for the stream on standard input; a file of this name is given as `./-`."""
_MAX_SILENT_BYTES = 4 * MAX_PIXELS
"""So much without a frame is given up, though more bytes come: a picture of any allowed size takes less."""


class StreamReader:
    """Frames of a video from a pipe, once, one at a time, in constant memory.

    What is read must be a format that needs no going back: MPEG-TS, Matroska, WebM and others, not an MP4 file
    whose index stands at its end. Nothing is read before `info` is asked for or iteration begins. Frames before the
    first one that can be decoded are no damage: a broadcast may be joined at any time.

    Args:
        file: opened for reading bytes.
        name: of the stream in error messages.
        num_threads: decoding threads; 0 lets the library choose.
    """

    def __init__(self, file: BinaryIO | IOBase, *, name: str = "standard input", num_threads: int = 1) -> None:
        self.problem: str | None = None
        """After iteration: a sentence saying how the stream broke off, or None."""
        self._pass = _StreamPass(_Pipe(file), name=name, num_threads=num_threads)
        self._info: VideoInfo | VideoError | None = None

    @property
    def info(self) -> VideoInfo:
        """What the first bytes say; the first call waits for the first frame.

        Raises:
            VideoError: it isn't a video, or has no frame.
        """
        if self._info is None:
            try:
                self._info = self._pass.probe()
            except VideoError as error:
                self._info = error
        if isinstance(self._info, VideoError):
            raise self._info
        return self._info

    def __iter__(self) -> Iterator[VideoFrame]:
        """All frames up to the end of the stream; a second time there are none.

        Raises:
            VideoError: as `info`, or, after the last frame, the stream broke off, was damaged, or was stopped.
        """
        info = self.info
        yield from self._pass.frames(info)
        self.problem = self._pass.problem(info)
        if self.problem is not None:
            raise VideoError(self.problem)

    def stop(self, reason: str) -> None:
        """Take the stream for ended, as soon as what is being read has come; `reason` is what its problem says."""
        self._pass.stop(reason)


def open_standard_input() -> StreamReader:
    """The video on standard input.

    Raises:
        ConfigError: standard input is a terminal, or closed.
    """
    if sys.stdin is None or sys.stdin.isatty():
        what = "closed" if sys.stdin is None else "a terminal"
        raise ConfigError(f"'-' reads a video from standard input, which is {what}; pipe a video into the command")
    return StreamReader(sys.stdin.buffer)


class _Pipe:
    """What the decoding library reads from: has no way back, and ends when it is told to."""

    def __init__(self, file: Any) -> None:
        self._read = getattr(file, "read1", file.read)  # gives what is there instead of waiting for more
        self.end = StreamEnd()
        self.num_bytes = 0
        self.num_silent_bytes = 0
        self.stopped_by = ""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end; errors end the stream, since the library would swallow them."""
        if self.stopped_by:
            return b""
        if self.num_silent_bytes > _MAX_SILENT_BYTES:
            self.stopped_by = f"gave no frame in {_MAX_SILENT_BYTES // 2**20} MiB"
            return b""
        try:
            part: bytes = self._read(size)
        except KeyboardInterrupt:
            self.stopped_by = "was stopped by Ctrl-C"
            return b""
        except (OSError, ValueError) as error:
            self.stopped_by = f"can't be read: {getattr(error, 'strerror', None) or error}"
            return b""
        self.end.feed(part)
        self.num_bytes += len(part)
        self.num_silent_bytes += len(part)
        return part


class _StreamPass(FilePass):
    """The one pass through a stream."""

    def __init__(self, pipe: _Pipe, *, name: str, num_threads: int) -> None:
        super().__init__(Path(name), num_threads=num_threads)
        self._pipe = pipe
        self._container: InputContainer | None = None
        self._decoded: Iterator[av.VideoFrame] = iter(())
        self._format = ""

    def stop(self, reason: str) -> None:
        """End the stream before its next bytes."""
        self._pipe.stopped_by = self._pipe.stopped_by or reason

    def probe(self) -> VideoInfo:
        """Read the header and one frame, which is kept for `frames`."""
        container = self._open()
        try:
            self._format = container.format.name
            stream = self._stream(container)
            check_picture_size(stream.codec_context.width, stream.codec_context.height, self._path)
            decoded = self._decode(container, stream)
            first = next(decoded, None)
            if first is None:
                self._reason = self._pipe.stopped_by or self._reason
                raise self._no_frame()
            info = self._described(container, stream, first)
        except BaseException:
            container.close()
            raise
        self._num_damaged, self._reason = 0, ""
        self._container, self._decoded = container, chain([first], decoded)
        # Whoever writes into a pipe doesn't know the length yet; MP4 alone lists its frames before they come.
        declared = info.num_frames_declared if "mp4" in self._format else None
        return replace(info, num_frames_declared=declared, duration=None)

    def _no_frame(self) -> VideoError:
        if "mp4" in self._format and not self._pipe.stopped_by:
            return VideoError(
                f"{self._path} is an MP4 file that can't be read in one pass, since its index stands at its end; "
                "give the file's name instead"
            )
        return super()._no_frame()

    def frames(self, info: VideoInfo) -> Iterator[VideoFrame]:
        """What is left of the stream."""
        if self._container is None:
            return
        container, self._container = self._container, None
        with container:
            for frame in self._timed(self._decoded, container, info):
                self._pipe.num_silent_bytes = 0
                yield frame

    def problem(self, info: VideoInfo) -> str | None:
        """How the stream ended before its time, or None."""
        when = f"after {self._num_frames} frame{'s' if self._num_frames != 1 else ''}"
        if self._pipe.stopped_by:
            return f"{self._path} {self._pipe.stopped_by} {when}"
        if self._pipe.end.breaks_off(self._format):
            return f"{self._path} breaks off {when}, in the middle of its data"
        return self._shortfall(info)

    def _open(self) -> InputContainer:
        try:
            # No other protocol: a stream can't make us open files or addresses that it names.
            options = {"protocol_whitelist": "", "format_whitelist": CONTAINER_FORMATS}
            return av.open(self._pipe, mode="r", metadata_errors="replace", container_options=options)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if self._pipe.stopped_by:
                raise VideoError(f"{self._path} {self._pipe.stopped_by}") from error
            if not self._pipe.num_bytes:
                raise VideoError(f"{self._path} is empty (0 bytes), expected a video") from error
            reason = getattr(error, "strerror", None) or str(error)
            raise VideoError(
                f"{self._path} can't be read as a video in one pass: {reason}; MPEG-TS or Matroska can be"
            ) from error
