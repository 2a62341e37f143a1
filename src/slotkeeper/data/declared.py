"""What a container says about its video before anything is decoded; it may be wrong, or missing."""

from __future__ import annotations

from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

_FALLBACK_RATE = Fraction(25)
_AVFMT_TS_DISCONT = 0x0200


def declared_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """Frames that a viewer would see; None where the container doesn't list them (mkv, webm, live streams)."""
    if stream.frames <= 0:
        return None
    entries = stream.index_entries
    if "mp4" in container.format.name and len(entries) > 0:  # an edit list trims without removing
        return min(stream.frames, len(entries)) - sum(entry.is_discard for entry in entries)
    return stream.frames


def declared_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds of the video stream; the container's own figure may be a longer sound track's."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:04.800000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        pass
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1_000_000
    return None


def mean_rate(stream: VideoStream) -> Fraction:
    """Frames per second; 25 where the stream says nothing credible."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0 < rate <= 1000:
            return Fraction(rate)
    return _FALLBACK_RATE


def may_jump(container: InputContainer) -> bool:
    """Whether the format allows its stamps to jump and to begin again (MPEG transport and program streams)."""
    return bool(container.format.flags & _AVFMT_TS_DISCONT)
