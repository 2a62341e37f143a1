"""One pass through one video file: opening, decoding, and noticing what went wrong on the way.

Decoding libraries end silently where a file is cut off, so packets and frames are counted against what the container
declares. Private to `slotkeeper.data.reader`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from slotkeeper.data.clock import LONGEST_GAP, FrameClock
from slotkeeper.data.declared import declared_duration, declared_frames, may_jump, mean_rate
from slotkeeper.data.frames import MAX_PIXELS, VideoFrame, VideoInfo, check_picture_size
from slotkeeper.data.media import MediaPath, num_bytes
from slotkeeper.data.orientation import display_matrix, is_transposed, upright
from slotkeeper.errors import VideoError, counted

_NUM_FORGIVEN_FRAMES = 2
"""Decoders silently drop a leading picture or two of some whole files (open groups of pictures)."""
CONTAINER_FORMATS = (
    "3g2,3gp,amv,apng,asf,av1,avi,avs,avs2,avs3,bink,cavsvideo,dirac,dnxhd,dv,dxa,evc,flic,flv,gif,gxf,h261,h263,h264,"
    "hevc,ipmovie,ivf,m4a,m4v,matroska,mj2,mjpeg,mjpeg_2000,mlv,mov,mp4,mpeg,mpegts,mpegvideo,mpjpeg,mv,mvi,mxf,nsv,nut,"
    "nuv,obu,ogg,r3d,rm,roq,smk,swf,thp,vc1,vc1test,vivo,vvc,webm,wtv,yuv4mpegpipe"
)
"""Containers that hold their pictures themselves. Playlists, which name other files and addresses, are not among them:
a file that came from elsewhere must not choose what else is read."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Presentation stamps of all frames in order, in units of the stream's time base, and those of the key frames.

    problem: how the file falls short of what it declares, as far as that shows without decoding, or None.
    """

    stamps: list[int]
    keys: list[int]
    problem: str | None

    def key_before(self, stamp: int) -> int:
        """Stamp of the last key frame at or before `stamp`; `stamp` itself where there is none."""
        place = bisect_right(self.keys, stamp)
        return self.keys[place - 1] if place else stamp


class FilePass:
    """One pass through the video stream of one file; a second pass needs a second object.

    Every method raises VideoError, with one sentence that names the file, where it can't be opened as a video.
    """

    def __init__(self, path: MediaPath, *, num_threads: int) -> None:
        self._path = path
        self._num_threads = num_threads
        self._reformatter = VideoReformatter()
        self._num_packets = 0
        self._num_excused = 0  # packets that rightly give no frame: trimmed by an edit list, or "repeat the last"
        self._num_damaged = 0
        self._num_frames = 0
        self._reason = ""
        self._last_time = 0.0
        self._end = 0.0
        self._longest_gap = 0.0

    def probe(self) -> VideoInfo:
        """Read the header and one frame."""
        with self._open() as container:
            stream = self._stream(container)
            check_picture_size(stream.codec_context.width, stream.codec_context.height, self._path)
            for frame in self._decode(container, stream):
                return self._described(container, stream, frame)
        raise self._no_frame()

    def frames(self, info: VideoInfo) -> Iterator[VideoFrame]:
        """All frames that can be decoded, in order of presentation."""
        with self._open() as container:
            yield from self._timed(self._decode(container, self._stream(container)), container, info)

    def frames_at(self, wanted: dict[int, int], *, start: int, first: int, info: VideoInfo) -> Iterator[VideoFrame]:
        """Frames whose stamps are `wanted` (stamp -> index), decoded from the key frame at stamp `start` on.

        Gives fewer than wanted where seeking fails or the file is damaged. first: the stamp of time 0.
        """
        last = max(wanted)
        with self._open() as container:
            stream = self._stream(container)
            try:
                container.seek(start, stream=stream)
            except av.error.FFmpegError:
                return
            for frame in self._decode(container, stream):
                if frame.pts is None or frame.pts > last:
                    return
                if frame.pts in wanted:
                    time = _seconds(frame, frame.pts - first) or 0.0
                    yield VideoFrame(pixels=self._pixels(frame, info), time=time, index=wanted[frame.pts])

    def timeline(self, info: VideoInfo) -> Timeline | None:
        """List all frames without decoding them; None where stamps are missing or seeking is unsafe."""
        stamps: list[int] = []
        keys: list[int] = []
        with self._open() as container:
            stream = self._stream(container)
            packets = container.demux(stream)
            while (packet := self._next(packets)) is not None:
                if packet.size == 0 or packet.is_discard or packet.is_corrupt:
                    continue
                if packet.pts is None:
                    return None
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
            if container.format.name == "gif" or not stamps or len(set(stamps)) < len(stamps):
                return None
            unit = float(stream.time_base or 0)
            jumps = may_jump(container)
        stamps.sort()
        if jumps and unit * max(map(int.__sub__, stamps[1:], stamps), default=0) > LONGEST_GAP:
            return None  # the order of these stamps isn't that of the frames
        self._num_frames = len(stamps)
        self._longest_gap = unit * max(map(int.__sub__, stamps[1:], stamps), default=0)
        self._end = unit * (stamps[-1] - stamps[0]) + float(1 / info.fps)
        return Timeline(stamps=stamps, keys=sorted(keys), problem=self.problem(info))

    def problem(self, info: VideoInfo) -> str | None:
        """After a whole pass: one sentence on how the file falls short of what it declares, or None."""
        shortfall = self._shortfall(info)
        if shortfall is None and _is_cut_gif(self._path):
            frames = f"{self._num_frames} frames were decoded"
            return f"{self._path} ends too soon: {frames}, and the mark of a GIF's end is missing"
        return shortfall

    def _shortfall(self, info: VideoInfo) -> str | None:
        declared, decoded = info.num_frames_declared, self._num_frames
        if declared is not None:
            is_complete = self._num_damaged == 0 and self._num_packets - self._num_excused >= declared
            if declared - decoded > (_NUM_FORGIVEN_FRAMES if is_complete else 0):
                told = f"it declares {counted(declared, 'frame')}, {decoded} can be read"
                return f"{self._path} is truncated or damaged: {told}"
        if self._num_damaged:
            return f"{self._path} is damaged: {decoded} frames were decoded, {self._num_damaged} packets could not be"
        tolerance = 1.5 * max(self._longest_gap, float(1 / info.fps))
        if declared is None and info.duration is not None and self._end < info.duration - tolerance:
            return (
                f"{self._path} ends too soon: {decoded} frames reach {self._end:.2f} s, but it declares "
                f"{info.duration:.2f} s, which is about {info.num_frames_expected} frames"
            )
        return None

    def _described(self, container: InputContainer, stream: VideoStream, frame: av.VideoFrame) -> VideoInfo:
        """What the header and the first frame say."""
        check_picture_size(frame.width, frame.height, self._path)
        transposed = is_transposed(display_matrix(frame))
        return VideoInfo(
            width=frame.height if transposed else frame.width,
            height=frame.width if transposed else frame.height,
            num_frames_declared=declared_frames(container, stream),
            fps=mean_rate(stream),
            duration=declared_duration(container, stream),
            path=self._path,
        )

    def _no_frame(self) -> VideoError:
        detail = f": {self._reason}" if self._reason else ""
        return VideoError(f"{self._path} has no frame that can be decoded{detail}")

    def _timed(
        self, decoded: Iterable[av.VideoFrame], container: InputContainer, info: VideoInfo
    ) -> Iterator[VideoFrame]:
        """Decoded frames with their pixels and times, counted."""
        step = float(1 / info.fps)
        clock = FrameClock(step=step, may_jump=may_jump(container))
        for frame in decoded:
            previous = self._last_time
            time = clock.time_of(_seconds(frame, frame.pts))
            self._longest_gap = max(self._longest_gap, time - previous)
            self._last_time = time
            self._end = time + (_seconds(frame, frame.duration or None) or step)
            self._num_frames += 1
            yield VideoFrame(pixels=self._pixels(frame, info), time=time, index=self._num_frames - 1)

    def _open(self) -> InputContainer:
        try:
            if num_bytes(self._path) == 0:
                raise VideoError(f"{self._path} is empty (0 bytes), expected a video")
            # "file:" keeps names such as "a:b.mp4" from being taken for addresses.
            # Bytes from elsewhere may name no file at all: no protocol is called "none".
            is_file = isinstance(self._path, Path)
            return av.open(
                f"file:{self._path}" if is_file else self._path.open("rb"),
                mode="r",
                metadata_errors="replace",
                container_options={
                    "protocol_whitelist": "file" if is_file else "none",
                    "format_whitelist": CONTAINER_FORMATS,
                },
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise VideoError(f"{self._path} can't be read as a video: {reason}") from error

    def _stream(self, container: InputContainer) -> VideoStream:
        streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            raise VideoError(f"{self._path} has no video in it, or its list of frames is cut off")
        context = streams[0].codec_context
        if context is None:
            raise VideoError(f"{self._path} can't be read as a video: its pictures are packed in an unknown way")
        context.thread_count = self._num_threads
        context.thread_type = "AUTO"
        context.options = {"max_pixels": str(MAX_PIXELS)}
        return streams[0]

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        packets = container.demux(stream)
        while (packet := self._next(packets)) is not None:
            try:
                yield from packet.decode()
            except av.error.FFmpegError as error:
                self._num_damaged += not packet.is_corrupt
                self._reason = self._reason or error.strerror or str(error)

    def _next(self, packets: Iterator[Any]) -> Any:
        """The next packet, counted; None at the end, be it by damage."""
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            self._num_damaged += 1
            self._reason = self._reason or error.strerror or str(error)
            return None
        if packet is not None and (packet.size > 0 or packet.dts is not None):  # else: the request to flush
            self._num_packets += 1
            self._num_excused += packet.is_discard or packet.size == 0
            self._num_damaged += packet.is_corrupt
        return packet

    def _pixels(self, frame: av.VideoFrame, info: VideoInfo) -> UInt8[np.ndarray, "h w 3"]:
        """RGB, upright, in the size of the first frame: a stream may change its size on the way."""
        matrix = display_matrix(frame)
        width, height = (info.height, info.width) if is_transposed(matrix) else (info.width, info.height)
        # One reformatter with one thread: a new one per frame starts threads and is three times slower.
        picture = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        return np.ascontiguousarray(upright(picture.to_ndarray(), matrix))


def _seconds(frame: av.VideoFrame, stamp: int | None) -> float | None:
    return None if stamp is None or frame.time_base is None else float(stamp * frame.time_base)


def _is_cut_gif(path: MediaPath) -> bool:
    """Whether this is a GIF without its trailer byte (GIF89a, section 27)."""
    with path.open("rb") as handle:
        if handle.read(4) != b"GIF8":
            return False
        handle.seek(-min(64, handle.seek(0, 2)), 2)
        return not handle.read().rstrip(b"\0").endswith(b"\x3b")
