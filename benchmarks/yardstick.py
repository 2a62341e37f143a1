"""The yardstick: SAVi's small config (arXiv 2111.12594, appendix) as one would write it down from the paper.

Plain PyTorch in float32, frame by frame and layer by layer, without any thought of speed: 5x5 convolutions at full
resolution, 7 slots, 6 frames of 64x64. Its parameters have the names of the same model in
`configs/systems/savi_small.yaml`, so that weights can be exchanged and both be compared number by number.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

NUM_SLOTS, SLOT_DIM, FEATURE_DIM, WIDTH = 7, 128, 32, 64


def gradient_grid(height: int, width: int) -> Tensor:
    """(x, y) of each cell's centre in [-1, 1], `h w 2`."""
    ys = (torch.arange(height) + 0.5) / height * 2 - 1
    xs = (torch.arange(width) + 0.5) / width * 2 - 1
    return torch.stack((xs[None, :].expand(height, width), ys[:, None].expand(height, width)), dim=-1)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (3, FEATURE_DIM, FEATURE_DIM, FEATURE_DIM, FEATURE_DIM)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.positions = nn.Linear(2, FEATURE_DIM)
        self.head = nn.Sequential(
            nn.LayerNorm(FEATURE_DIM),
            nn.Linear(FEATURE_DIM, 2 * FEATURE_DIM),
            nn.ReLU(),
            nn.Linear(2 * FEATURE_DIM, FEATURE_DIM),
        )

    def forward(self, frame: Tensor) -> Tensor:
        features = self.layers(frame).permute(0, 2, 3, 1)
        features = features + self.positions(gradient_grid(*frame.shape[-2:]))
        return self.head(features.flatten(1, 2))


class Corrector(nn.Module):
    """One iteration of slot attention, without an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_tokens = nn.LayerNorm(FEATURE_DIM)
        self.norm_slots = nn.LayerNorm(SLOT_DIM)
        self.query = nn.Linear(SLOT_DIM, SLOT_DIM, bias=False)
        self.key = nn.Linear(FEATURE_DIM, SLOT_DIM, bias=False)
        self.value = nn.Linear(FEATURE_DIM, SLOT_DIM, bias=False)
        self.update = nn.GRUCell(SLOT_DIM, SLOT_DIM)

    def forward(self, slots: Tensor, tokens: Tensor) -> Tensor:
        tokens = self.norm_tokens(tokens)
        keys, values = self.key(tokens), self.value(tokens)
        queries = self.query(self.norm_slots(slots))
        logits = torch.einsum("bsd,bnd->bsn", queries, keys) * SLOT_DIM**-0.5
        attention = logits.softmax(dim=1) + 1e-8
        weights = attention / attention.sum(dim=2, keepdim=True)
        updates = torch.einsum("bsn,bnd->bsd", weights, values)
        return self.update(updates.reshape(-1, SLOT_DIM), slots.reshape(-1, SLOT_DIM)).reshape(slots.shape)


class Predictor(nn.Module):
    """A post-norm transformer block over slots."""

    def __init__(self, num_heads: int = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(SLOT_DIM)
        self.queries_keys_values = nn.Linear(SLOT_DIM, 3 * SLOT_DIM)
        self.merge = nn.Linear(SLOT_DIM, SLOT_DIM)
        self.norm_output = nn.LayerNorm(SLOT_DIM)
        hidden = nn.Sequential(nn.Linear(SLOT_DIM, 256), nn.GELU(), nn.Linear(256, SLOT_DIM))
        self.mlp = nn.Sequential(nn.Identity(), hidden)

    def forward(self, slots: Tensor) -> Tensor:
        queries, keys, values = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in self.queries_keys_values(slots).chunk(3, dim=2)
        )
        scores = (queries @ keys.transpose(2, 3)) * queries.shape[-1] ** -0.5
        mixed = (scores.softmax(dim=3) @ values).transpose(1, 2).flatten(2)
        slots = self.norm_attention(slots + self.merge(mixed))
        return self.norm_output(slots + self.mlp(slots))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Linear(2, SLOT_DIM)
        layers: list[nn.Module] = []
        for before in (SLOT_DIM, WIDTH, WIDTH):
            layers += [nn.ConvTranspose2d(before, WIDTH, 5, stride=2, padding=2, output_padding=1), nn.ReLU()]
        layers += [nn.Conv2d(WIDTH, WIDTH, 5, padding=2), nn.ReLU(), nn.Conv2d(WIDTH, 4, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, slots: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        batch = len(slots)
        grid = slots.reshape(-1, 1, 1, SLOT_DIM).repeat(1, size[0] // 8, size[1] // 8, 1)
        grid = grid + self.positions(gradient_grid(size[0] // 8, size[1] // 8))
        drawn = self.layers(grid.permute(0, 3, 1, 2)).unflatten(0, (batch, -1))
        masks = drawn[:, :, 3:].softmax(dim=1)
        return ((drawn[:, :, :3] + 0.5) * masks).sum(dim=1), masks[:, :, 0]


class PlainSavi(nn.Module):
    """The whole model; `step` is one frame, `forward` a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.corrector, self.predictor, self.decoder = Encoder(), Corrector(), Predictor(), Decoder()
        self.initializer = nn.Module()
        self.initializer.slots = nn.Parameter(torch.randn(NUM_SLOTS, SLOT_DIM))

    def step(self, slots: Tensor | None, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Corrected slots `b s d`, reconstruction `b 3 h w` and masks `b s h w` of one frame `b 3 h w`."""
        tokens = self.encoder(frame)
        first = self.initializer.slots.expand(len(frame), -1, -1)
        corrected = self.corrector(first if slots is None else self.predictor(slots), tokens)
        reconstruction, masks = self.decoder(corrected, (frame.shape[-2], frame.shape[-1]))
        return corrected, reconstruction, masks

    def forward(self, frames: Tensor) -> Tensor:
        """Reconstructions of frames `b t 3 h w`."""
        slots, drawn = None, []
        for index in range(frames.shape[1]):
            slots, reconstruction, _ = self.step(slots, frames[:, index])
            drawn.append(reconstruction)
        return torch.stack(drawn, dim=1)


def plain_loss(model: PlainSavi, frames: Tensor) -> Tensor:
    """Mean squared error of the reconstruction."""
    return functional.mse_loss(model(frames), frames)
