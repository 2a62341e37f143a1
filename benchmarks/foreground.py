"""How well the slots of models cover the foreground of videos whose truth is a single mask.

python -m benchmarks.foreground DATA RUN_OR_MODEL [RUN_OR_MODEL ...]

For each video: IoU of the foreground with the set of slots, one set for the whole video, that fits it best
(`slotkeeper.metrics.overlap.best_set_iou`). Slots give soft masks, resized bilinearly to the truth's size, then argmax.
Beside the models: a box of half the height and width in the middle, and the picture cut into as many cells as the first
model has slots, of which the best set is taken, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Int

from benchmarks.grid import grid_segments
from slotkeeper.build import LoadedModel, load_model
from slotkeeper.data import find_videos, iterate_videos
from slotkeeper.masks import segments_from_masks
from slotkeeper.metrics.overlap import best_set_iou
from slotkeeper.types import Clip

_CHUNK = 8
Segments = Int[np.ndarray, "t h w"]


def foregrounds(data: str, size: tuple[int, int]) -> Iterator[tuple[str, Clip, Bool[np.ndarray, "t h w"]]]:
    for clip in iterate_videos(find_videos(data), size, skipped=[]):
        assert clip.segments is not None, f"{clip.video_ids[0]} has no masks"
        yield clip.video_ids[0], clip, clip.segments[0].numpy() > 0


@torch.inference_mode()
def slots_of(loaded: LoadedModel, clip: Clip) -> Segments:
    assert clip.segments is not None
    height, width = clip.segments.shape[-2:]
    state, parts = loaded.model.start(), []
    for chunk in clip.frames.split(_CHUNK, dim=1):
        state, output = loaded.model.advance(state, chunk)
        parts.append(segments_from_masks(output.decoded.masks, (height, width))[0].numpy())
    return np.concatenate(parts)


def middle_box(shape: tuple[int, ...]) -> Segments:
    _, height, width = shape
    box = np.zeros(shape, np.int64)
    box[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    return box


def grid_of(clip: Clip, num_blocks: int) -> Segments:
    assert clip.segments is not None
    return grid_segments(clip.segments.shape[1], tuple(clip.segments.shape[-2:]), num_blocks).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("models", nargs="+", metavar="RUN_OR_MODEL")
    parsed = parser.parse_args()
    loaded = {name: load_model(name) for name in parsed.models}
    num_slots = next(iter(loaded.values())).model.num_slots
    for name, model in loaded.items():
        report(name, parsed.data, model.config.data.size, lambda clip, model=model: slots_of(model, clip))
    truth_size = (8, 8)  # the frames are not looked at
    report("box in the middle", parsed.data, truth_size, lambda clip: middle_box(tuple(clip.segments.shape[1:])))
    report(f"grid of {num_slots}", parsed.data, truth_size, lambda clip: grid_of(clip, num_slots))


def report(name: str, data: str, size: tuple[int, int], segment: Callable[[Clip], Segments]) -> None:
    found = {
        video_id: best_set_iou(segment(clip), foreground) for video_id, clip, foreground in foregrounds(data, size)
    }
    known = [iou for iou in found.values() if iou is not None]
    each = ", ".join(f"{video_id} {iou:.3f}" for video_id, iou in found.items() if iou is not None)
    print(f"{name:30s} mean {np.mean(known):.3f}   {each}", flush=True)


if __name__ == "__main__":
    main()
