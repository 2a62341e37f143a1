"""Random numbers of one training step: functions of the seed and the step's number alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from slotkeeper.noise import draw_seeds, spread_seeds


@contextmanager
def seeded_step(seed: int, step: int, *, rank: int, num_videos: int, device: torch.device) -> Iterator[torch.Generator]:
    """The generator of a step's noise, standing where this process's videos come; the global one is seeded, too.

    The latter is for components from elsewhere; what they draw differs between processes. It is afterwards as it was,
    here and on `device`. num_videos: of each process.
    """
    step_seed = (seed << 32) + step
    generator = torch.Generator().manual_seed(step_seed)
    draw_seeds(rank * num_videos, generator)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(spread_seeds([step_seed], rank)[0] if rank else step_seed)
        yield generator
