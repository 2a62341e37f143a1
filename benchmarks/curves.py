"""Do the small SAVi and the plain yardstick learn alike? Same weights, same clips, ours in the precision chosen here.

python -m benchmarks.curves [--steps 50] [--batch 2] [--threads 2] [--precision auto]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.machine import median
from benchmarks.workloads import CLIP_LENGTH, ROOT, rendered_clips
from benchmarks.yardstick import PlainSavi, plain_loss
from slotkeeper.build import build_model
from slotkeeper.config import load_config
from slotkeeper.hardware import choose_precision
from slotkeeper.model import SlotModel

_NUM_CLIPS = 32


def train(module: nn.Module, loss_of: Callable[[Tensor], Tensor], clips: Tensor, steps: int, batch: int) -> list[float]:
    """The loss at each step of Adam, batch after batch of the same clips."""
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-4)
    losses = []
    for step in range(steps):
        chosen = torch.arange(step * batch, (step + 1) * batch) % len(clips)
        optimizer.zero_grad()
        loss = loss_of(clips[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    """Print both curves side by side, and how far they lie apart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parsed = parser.parse_args()
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    precision = choose_precision(parsed.precision, torch.device("cpu"))
    clips = rendered_clips(_NUM_CLIPS, CLIP_LENGTH)
    torch.manual_seed(0)
    plain = PlainSavi()
    ours: SlotModel = build_model(load_config(ROOT / "configs/systems/savi_small.yaml"))
    ours.load_state_dict(plain.state_dict())
    ours.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]

    def our_loss(frames: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = ours(frames, torch.Generator().manual_seed(0))
        return (output.decoded.reconstruction - frames).square().mean()

    our_curve = train(ours, our_loss, clips, parsed.steps, parsed.batch)
    plain_curve = train(plain, lambda frames: plain_loss(plain, frames), clips, parsed.steps, parsed.batch)
    apart = [abs(mine / theirs - 1) for mine, theirs in zip(our_curve, plain_curve, strict=True)]
    print(f"| step | slotkeeper, {precision} | yardstick, fp32 |\n|---|---|---|")
    for step in sorted({0, parsed.steps - 1, *range(9, parsed.steps, 10)}):
        print(f"| {step + 1} | {our_curve[step]:.5f} | {plain_curve[step]:.5f} |")
    print(f"apart by {median(apart):.2%} in the middle, {max(apart):.2%} at most")


if __name__ == "__main__":
    main()
