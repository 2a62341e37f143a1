"""First slots drawn from one shared normal distribution (Locatello et al. 2020, arXiv 2006.15055)."""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Initializer
from slotkeeper.noise import VideoNoise, given_or_fresh
from slotkeeper.types import Features, GivenStart, PlacedSlots


class GaussianInitializer(Initializer):
    """Slots are `mean + exp(log_sigma) * noise`, with mean and log-sigma shared by all slots.

    is_trainable: whether mean and log-sigma learn; frozen, they stay at their random start. sigma: the start of sigma.
    In training the noise is fresh for each video. In evaluation it comes from a private generator seeded by
    `noise_seed` and is the same for every video, so results are deterministic; giving noise draws afresh there too.
    Where the model has no recurrence, so that each frame begins anew, `noise_per` says whether in training all frames
    of a video share one noise or each has its own, and `test_noise` whether in evaluation all frames have the one
    "fixed" noise, stored with the weights, or each "frame" its own, a function of its index.
    """

    is_resizable = True
    fixed_noise: Tensor

    def __init__(
        self,
        *,
        num_slots: int,
        slot_dim: int,
        is_trainable: bool = True,
        sigma: float = 1.0,
        noise_seed: int = 0,
        noise_per: Literal["video", "frame"] = "video",
        test_noise: Literal["fixed", "frame"] = "fixed",
    ):
        super().__init__()
        if sigma <= 0:
            raise ConfigError(f"initializer.sigma must be positive, got {sigma}")
        if noise_seed < 0:
            raise ConfigError(f"initializer.noise_seed must be at least 0, got {noise_seed}")
        self.num_slots = num_slots
        self.noise_seed = noise_seed
        self.noise_per = noise_per
        self.test_noise = test_noise
        self.mean = nn.Parameter(torch.randn(slot_dim) * slot_dim**-0.5, requires_grad=is_trainable)
        self.log_sigma = nn.Parameter(torch.full((slot_dim,), sigma).log(), requires_grad=is_trainable)
        private = torch.Generator().manual_seed(noise_seed)
        self.register_buffer("fixed_noise", torch.randn(num_slots, slot_dim, generator=private))

    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots that know nothing of the frame."""
        drawn = self._drawn(len(features.tokens), noise, frame_index).to(self.mean)
        return PlacedSlots(slots=self.mean + self.log_sigma.exp() * drawn)

    def with_num_slots(self, num_slots: int) -> GaussianInitializer:
        """Further draws of the same distribution; the fixed noise of the slots that stay is as it was."""
        resized = deepcopy(self)
        resized.num_slots = num_slots
        private = torch.Generator().manual_seed(self.noise_seed + 1)
        further = torch.randn(max(0, num_slots - self.num_slots), self.fixed_noise.shape[1], generator=private)
        resized.fixed_noise = torch.cat((self.fixed_noise[:num_slots], further.to(self.fixed_noise)))
        return resized

    def _drawn(self, batch: int, noise: VideoNoise | None, frame_index: int) -> Float[Tensor, "b s d"]:
        shape = self.fixed_noise.shape
        if self.training or noise is not None:
            return given_or_fresh(noise, batch).normal(*shape)
        if self.test_noise == "fixed":
            return self.fixed_noise.expand(batch, -1, -1)
        private = torch.Generator().manual_seed((self.noise_seed << 32) + frame_index)
        return torch.randn(shape, generator=private).expand(batch, -1, -1)
