"""Scores of a model on videos whose light is changed before it sees them.

python -m benchmarks.light DATA [RUN_OR_MODEL] [--size 64 96] [--floor 0.55] [--contrast 1.5]

Each video's median colour is brought to the grey `--floor`, and differences from it are multiplied by `--contrast`.
--size: height and width given to the model. Means over videos, all else as `slotkeeper evaluate` scores them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from slotkeeper.build import load_model
from slotkeeper.data import find_videos, iterate_videos
from slotkeeper.evaluation import outputs_of, segments_of_slots
from slotkeeper.scoring import Scorer
from slotkeeper.tracking import slot_labels
from slotkeeper.types import Clip


def relit(clip: Clip, floor: float, contrast: float) -> Clip:
    usual = clip.frames.flatten(3).median(3).values.median(1).values[:, None, :, None, None]
    return replace(clip, frames=((clip.frames - usual) * contrast + floor).clamp(0, 1))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--size", type=int, nargs=2, default=[64, 64])
    parser.add_argument("--floor", type=float, default=0.55)
    parser.add_argument("--contrast", type=float, default=1.0)
    parsed = parser.parse_args()
    model = load_model(parsed.model).model
    scorer = Scorer()
    for clip in iterate_videos(find_videos(parsed.data), tuple(parsed.size), skipped=[]):
        assert clip.segments is not None
        frames = relit(clip, parsed.floor, parsed.contrast).frames
        masks = torch.cat([output.decoded.masks[0] for _, output in outputs_of(model, frames, torch.device("cpu"))])
        true = clip.segments[0].numpy()
        slots, is_background = slot_labels(
            masks, size=(true.shape[1], true.shape[2]), num_background=model.initializer.num_background
        )
        scorer.add(segments_of_slots(slots, is_background), true, name=clip.video_ids[0])
    scores = scorer.scores().as_json()
    print(", ".join(f"{name} {scores[name]:.3f}" for name in ("video_fg_ari", "video_miou", "hota", "slot_permanence")))


if __name__ == "__main__":
    main()
