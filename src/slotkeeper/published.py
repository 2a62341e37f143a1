"""Videos as a published protocol scores them, and in what a score departs from it."""

from __future__ import annotations

from dataclasses import replace

import torch

from slotkeeper.data.resizing import Framing
from slotkeeper.errors import DataError, counted
from slotkeeper.metrics.protocols import EvaluationProtocol
from slotkeeper.metrics.results import Protocol
from slotkeeper.types import Clip


def clips_of(clip: Clip, named: EvaluationProtocol | None) -> list[Clip]:
    """A video as the protocol scores it: its truth cropped and resized, and cut into clips if it wants those.

    Raises:
        DataError: the video is shorter than one clip.
    """
    if named is None:
        return [clip]
    assert clip.segments is not None
    framing = Framing(size=named.mask_size, fit=named.fit)
    segments = torch.from_numpy(framing.segments(clip.segments[0].numpy()))[None]
    clip = replace(clip, segments=segments)
    length, video_length = named.clip_frames, clip.frames.shape[1]
    if length is None:
        return [clip]
    if video_length < length:
        raise DataError(f"the video has {counted(video_length, 'frame')}, and {named.name} scores clips of {length}")
    return [
        replace(
            clip,
            frames=clip.frames[:, start : start + length],
            times=clip.times[:, start : start + length],
            segments=segments[:, start : start + length],
            video_ids=(f"{clip.video_ids[0]} from frame {start}",),
        )
        for start in range(0, video_length - length + 1, length)
    ]


def departures_of(protocol: Protocol, named: EvaluationProtocol, *, frame_size: tuple[int, int]) -> tuple[str, ...]:
    """In what scores were made otherwise than the published ones: a sentence each."""
    wanted = named.clip_frames or named.num_frames
    is_given, must_be_given = protocol.conditioning != "none", named.conditioning != "none"
    pairs = (
        ("slots", protocol.num_slots, named.num_slots),
        ("frames for the model of", _shown(frame_size), _shown(named.frame_size)),
        ("frames scored at a time:", protocol.clip_length, wanted or protocol.clip_length),
        ("videos or clips scored:", protocol.num_videos, named.num_videos or protocol.num_videos),
    )
    departures = [f"{what} {here}, {there} there" for what, here, there in pairs if here != there]
    if is_given != must_be_given:
        departures.append(f"conditioning {protocol.conditioning}, {named.conditioning} there")
    return tuple(departures)


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
