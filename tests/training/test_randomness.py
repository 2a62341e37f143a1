"""What is random in a step depends on the seed and the step alone, however many processes share its batch."""

from __future__ import annotations

import torch

from slotkeeper.noise import draw_seeds
from slotkeeper.training.randomness import seeded_step


def drawn(step: int, *, rank: int = 0, num_videos: int = 4) -> tuple[tuple[int, ...], float]:
    """Seeds of the videos of one process, and a number from the global generator."""
    with seeded_step(3, step, rank=rank, num_videos=num_videos, device=torch.device("cpu")) as generator:
        return draw_seeds(num_videos, generator), torch.rand(()).item()


def test_a_step_draws_the_same_each_time_and_another_step_other_numbers():
    assert drawn(5) == drawn(5)
    assert not set(drawn(5)[0]) & set(drawn(6)[0])
    assert drawn(5)[1] != drawn(6)[1]


def test_processes_draw_for_their_videos_what_one_would_draw_for_all():
    (first, of_first), (second, of_second) = (drawn(5, rank=rank, num_videos=2) for rank in (0, 1))
    assert first + second == drawn(5)[0]
    assert of_first != of_second


def test_the_global_generator_is_left_as_it_was():
    before = torch.random.get_rng_state()
    drawn(5)
    assert torch.equal(torch.random.get_rng_state(), before)
