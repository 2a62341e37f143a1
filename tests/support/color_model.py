"""A slot model that tells objects apart by colour, and H.264 videos of coloured squares: exact facts for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from slotkeeper.interfaces import Corrector, Decoder, Encoder, Initializer
from slotkeeper.model import SlotModel
from slotkeeper.predictors.identity import IdentityPredictor
from slotkeeper.types import Decoded, EncoderState, Features, PlacedSlots, SlotTrajectory

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (40, 60, 230)
YELLOW, GREY, WHITE = (230, 210, 40), (90, 90, 90), (240, 240, 240)
Color = tuple[int, int, int]
Place = Callable[[int], tuple[int, int] | None]


class _PixelEncoder(Encoder):
    feature_dim = 3

    def forward(self, frames: Tensor, state: EncoderState | None = None) -> tuple[Features, EncoderState | None]:
        tokens = frames.flatten(3).transpose(2, 3)
        grid = (int(frames.shape[-2]), int(frames.shape[-1]))
        return Features(tokens=tokens, grid=grid, colors=frames, pixels=frames), None


class _EmptyStart(Initializer):
    def __init__(self, num_slots: int, num_background: int):
        super().__init__()
        self.num_slots = num_slots
        self.num_background = num_background

    def forward(self, features: Features, noise: object = None, **_: object) -> PlacedSlots:
        return PlacedSlots(slots=features.tokens.new_zeros(len(features.tokens), self.num_slots, 3))


class _Palette(torch.nn.Module):
    """Per slot, the colours it holds; `share` gives soft masks over the last-but-two axis."""

    def __init__(self, palette: Sequence[Sequence[Color]]):
        super().__init__()
        for slot, colors in enumerate(palette):
            self.register_buffer(f"slot_{slot}", torch.tensor(colors).float() / 255)

    def share(self, colors: Tensor) -> Tensor:
        distances = [(colors[..., None, :] - slot).square().sum(-1).amin(-1) for slot in self.buffers()]
        return (-100 * torch.stack(distances, -1)).softmax(-1)


class _ColorCorrector(Corrector):
    """A slot's vector is the mean colour it sees, around mid-grey; unchanged while it sees nothing."""

    def __init__(self, palette: _Palette):
        super().__init__()
        self.palette = palette

    def forward(self, slots: PlacedSlots, frame: Features, **_: object) -> tuple[PlacedSlots, Tensor]:
        tokens = frame.tokens[:, 0]
        attention = self.palette.share(tokens).transpose(1, 2)
        held = torch.zeros_like(attention).scatter_(1, attention.argmax(1, keepdim=True), 1.0)
        mean = (held @ tokens) / held.sum(-1, keepdim=True).clamp_min(1) - 0.5
        seen = torch.where(held.sum(-1, keepdim=True) > 4, mean, slots.slots)
        return PlacedSlots(slots=seen), attention


class _ColorDecoder(Decoder):
    def __init__(self, palette: _Palette):
        super().__init__()
        self.palette = palette

    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        assert features.pixels is not None
        slots = trajectory.corrected
        masks = self.palette.share(features.pixels.movedim(2, -1)).movedim(-1, 2)
        pictures = (slots + 0.5)[..., None, None].expand(*slots.shape, *size)
        return Decoded(reconstruction=(masks[:, :, :, None] * pictures).sum(2), pictures=pictures, masks=masks)


def color_model(palette: Sequence[Sequence[Color]], num_background: int = 0) -> SlotModel:
    """A model whose slot i holds the colours `palette[i]`, wherever they are."""
    colors = _Palette(palette)
    return SlotModel(
        encoder=_PixelEncoder(),
        initializer=_EmptyStart(len(palette), num_background),
        corrector=_ColorCorrector(colors),
        predictor=IdentityPredictor(),
        decoder=_ColorDecoder(colors),
    )


def draw_squares(
    squares: Sequence[tuple[Color, int, Place]],
    *,
    num_frames: int,
    size: tuple[int, int],
    background: Color = GREY,
) -> np.ndarray:
    """Frames `t h w 3` of squares (colour, side, place of the top left corner at frame t as x y, or None)."""
    frames = np.empty((num_frames, *size, 3), dtype=np.uint8)
    frames[:] = background
    for color, side, place in squares:
        for index in range(num_frames):
            corner = place(index)
            if corner is not None:
                left, top = max(0, corner[0]), max(0, corner[1])
                frames[index, top : max(0, corner[1] + side), left : max(0, corner[0] + side)] = color
    return frames


def write_h264(path: Path, frames: np.ndarray, fps: Fraction | int = 25) -> Path:
    """A real H.264 file, 4:4:4 so that odd sizes and sharp colours survive."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "8", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv444p"
        stream.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path
