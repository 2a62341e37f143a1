"""Videos as bytes, as a pipe would bring them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np

FORMATS = {"ts": "mpegts", "mkv": "matroska", "mp4": "mp4"}


class _Sink:
    """Takes bytes and can't go back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, part: bytes) -> int:
        self.content += part
        return len(part)


def video_bytes(
    frames: Sequence[np.ndarray],
    kind: str = "ts",
    *,
    stamps: Callable[[int], int] = lambda index: index,
    options: dict[str, str] | None = None,
    key_frames_every: int = 20,
) -> bytes:
    """Frames as a stream of 25 a second. stamps: of each frame, in frames. options: of the container."""
    sink = _Sink() if kind != "mp4" else io.BytesIO()
    with av.open(sink, "w", format=FORMATS[kind], options=options or {}) as container:
        encoder = {"bf": "2", "g": str(key_frames_every), "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=25, options=encoder)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.codec_context.thread_count = 1
        for index, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = stamps(index), Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return bytes(sink.content) if isinstance(sink, _Sink) else sink.getvalue()


class Unending(io.RawIOBase):
    """Some bytes, then others for ever."""

    def __init__(self, first: bytes, more: Callable[[int], bytes]) -> None:
        self._first = io.BytesIO(first)
        self._more = more
        self.num_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        part = self._first.read(size) or self._more(size)
        self.num_bytes += len(part)
        return part
