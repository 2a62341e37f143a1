"""What flows from stage to stage: frozen values with their shapes.

Axis letters, the same everywhere: `b` batch, `t` time, `c` channels, `h w` pixels, `n` tokens, `s` slots, `d` width,
`k` true objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Consecutive frames of some videos, all of one size.

    frames: RGB in [0, 1]. times: seconds since each video's start. segments: 0 is background; None without truth; in
    evaluation they keep the video's own size. flow: where each pixel is in the next frame, x and y, in pixels of these
    frames to the right and down; zero in a video's last frame. depth: distance from the camera, in the data's own
    unit. features: what the model's backbone made of these frames, where that was computed before. The last three are
    None where nothing asks for them.
    """

    frames: Float[Tensor, "b t c h w"]
    times: Float[Tensor, "b t"]
    segments: Int[Tensor, "b t height width"] | None = None
    flow: Float[Tensor, "b t 2 h w"] | None = None
    depth: Float[Tensor, "b t 1 h w"] | None = None
    features: Float[Tensor, "b t n e"] | None = None
    video_ids: tuple[str, ...] = ()

    @property
    def seen(self) -> dict[str, Tensor]:
        """What a model and its losses may see, by name: all tensors but the segments."""
        parts = {
            "frames": self.frames,
            "times": self.times,
            "flow": self.flow,
            "depth": self.depth,
            "features": self.features,
        }
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the encoder saw: tokens of a grid (rows, columns) with n = rows * columns, in row-major order.

    colors: mean RGB of the picture on a grid of its own, at least as fine. pixels: finer embeddings for decoders
    that draw their masks along the picture's edges, or None. targets: what a backbone made of each token's place
    before anything was trained on top, for decoders that rebuild it; None in encoders without a backbone.
    """

    tokens: Float[Tensor, "b t n d"]
    grid: tuple[int, int]
    colors: Float[Tensor, "b t 3 y x"]
    pixels: Float[Tensor, "b t e h w"] | None = None
    targets: Float[Tensor, "b t n f"] | None = None

    def each_frame(self) -> list[Features]:
        """One frame's features after the other, each still with a time axis (of length 1)."""
        # Split once: the gradient of so many slices would be as many tensors of the whole clip's size.
        tokens, colors = self.tokens.split(1, dim=1), self.colors.split(1, dim=1)
        pixels = [None] * len(tokens) if self.pixels is None else self.pixels.split(1, dim=1)
        targets = [None] * len(tokens) if self.targets is None else self.targets.split(1, dim=1)
        return [
            Features(
                tokens=tokens[index], grid=self.grid, colors=colors[index], pixels=pixels[index], targets=targets[index]
            )
            for index in range(len(tokens))
        ]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where slots were last seen and in which colour; pictures reach from -1 to 1. No gradient flows through them.

    centres: x, y. spreads: root mean square distance of what a slot saw from its centre. velocities: change of the
    centre from frame to frame. doubts: how far off the centre may be since the slot was last seen. colors: mean RGB of
    what it saw, a slow average. ages: in how many frames it saw anything. unseen: how many frames ago it last did.
    is_placed: False for slots that are everywhere, such as the background's. is_free: of slots that hold nothing yet
    and take no part until the initializer admits something new to them.
    """

    centres: Float[Tensor, "b s 2"]
    spreads: Float[Tensor, "b s"]
    velocities: Float[Tensor, "b s 2"]
    doubts: Float[Tensor, "b s"]
    colors: Float[Tensor, "b s 3"]
    ages: Int[Tensor, "b s"]
    unseen: Int[Tensor, "b s"]
    is_placed: Bool[Tensor, "b s"]
    is_free: Bool[Tensor, "b s"]


@dataclass(frozen=True, kw_only=True)
class PlacedSlots:
    """Slots and where they are.

    places: None where the model keeps no track of places. guess: an initializer's guess of what these slots will be
    once they have seen the frame, for losses; None where there is none. means: what each slot expected of each token
    when it was last compared with a frame, in correctors that draw it; None in others.
    """

    slots: Float[Tensor, "b s d"]
    places: Places | None = None
    guess: Float[Tensor, "b s d"] | None = None
    means: Float[Tensor, "b s n e"] | None = None


@dataclass(frozen=True, kw_only=True)
class GivenStart:
    """Where things are in a video's first frame, because somebody says so; row k of all is the same thing.

    Coordinates are x, y in [-1, 1] from the picture's left and upper edge to its right and lower one. points: a place
    on each thing. boxes: x0 y0 x1 y1; None where points alone were given. shapes: of masks: mean x and y, standard
    deviation in x and y, covariance of x and y, share of the picture; None where there were none. is_given: False in
    rows that only fill up the batch.
    """

    kind: Literal["points", "boxes", "masks"]
    points: Float[Tensor, "b k 2"]
    boxes: Float[Tensor, "b k 4"] | None = None
    shapes: Float[Tensor, "b k 6"] | None = None
    is_given: Bool[Tensor, "b k"]

    def to(self, device: torch.device) -> GivenStart:
        """The same on another device."""
        return GivenStart(
            kind=self.kind,
            points=self.points.to(device),
            boxes=None if self.boxes is None else self.boxes.to(device),
            shapes=None if self.shapes is None else self.shapes.to(device),
            is_given=self.is_given.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class PastFrames:
    """The latest frames, for predictors that look back: corrected slots and the tokens they saw, the newest last."""

    slots: Float[Tensor, "b p s d"]
    tokens: Float[Tensor, "b p n e"]


EncoderState = tuple[Tensor, ...]
"""What an encoder remembers of the frames before, one row per video in each tensor."""


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """All that the recurrence carries from one frame to the next.

    slots: as they were after seeing the latest frame; the predictor prepares them for the next one as soon as that is
    there. None before the first frame, for which the initializer prepares them from its features. past: as many of the
    latest frames as the predictor looks back at; None where it doesn't. frame_index: the next frame's, from 0. given:
    where things are in the first frame, if the user says so. noise_seeds: what is random in each video is a function of
    its seed and of the frame's index; None where nothing is random. encoder: the encoder's own state if it has one.
    """

    slots: PlacedSlots | None = None
    past: PastFrames | None = None
    frame_index: int = 0
    given: GivenStart | None = None
    noise_seeds: tuple[int, ...] | None = None
    encoder: EncoderState | None = None


@dataclass(frozen=True, kw_only=True)
class SlotTrajectory:
    """Slots through time.

    corrected: after seeing the frame. predicted: before seeing it. attention: of the last iteration; sums to 1 over s.
    guesses: an initializer's guesses of `corrected` in the first g frames, those that it began; None without any.
    means: expected tokens that the attention was made from, in correctors that draw them; None in others. noise_seeds:
    of what a decoder draws at random for each frame, on the CPU; None where nothing is random.
    """

    corrected: Float[Tensor, "b t s d"]
    predicted: Float[Tensor, "b t s d"]
    attention: Float[Tensor, "b t s n"]
    guesses: Float[Tensor, "b g s d"] | None = None
    means: Float[Tensor, "b t s n e"] | None = None
    noise_seeds: Int[Tensor, "b t"] | None = None


Target = Literal["frames", "flow", "depth", "flow_and_depth", "features", "codes"]
"""What a decoder rebuilds: RGB in about [0, 1] (it need not clamp), the clip's flow as colours, the logarithm of its
depth, these two at once, the features' targets on the grid of tokens, or nothing but the likelihood of a picture's
codes: the logarithm of what each place's true code has been given, in one channel."""
_CHANNELS = {"flow": slice(0, 3), "depth": slice(3, 4)}
"""Of each part in what rebuilds flow and depth at once."""


def parts_of(target: Target) -> tuple[Target, ...]:
    """What a loss may compare where this is rebuilt."""
    return ("flow", "depth") if target == "flow_and_depth" else (target,)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What the slots rebuild; masks sum to 1 over s, and may be coarser than the frames.

    target: what it is. reconstruction: the mask-weighted sum of the pictures, or however the decoder mixes. pictures:
    each slot's own before mixing; None in decoders that mix slots before they draw. code_scores: where codes are
    rebuilt, what each of v codes scored at each place of the picture: its log-probability, in training plus noise; the
    best one is the place's code. No gradient reaches the scores from the reconstruction. similarities: logits, for each
    token's place, of where in a later frame its like will be; None in decoders that don't foresee it.
    """

    reconstruction: Float[Tensor, "b t c y x"]
    pictures: Float[Tensor, "b t s c y x"] | None
    masks: Float[Tensor, "b t s h w"]
    target: Target = "frames"
    code_scores: Float[Tensor, "b t v rows columns"] | None = None
    similarities: Float[Tensor, "b t n n"] | None = None

    @property
    def drawn(self) -> Float[Tensor, "b t s c y x"]:
        """The pictures, in decoders that draw each slot alone."""
        assert self.pictures is not None, "this decoder draws no slot alone"
        return self.pictures

    def rebuilt(self, part: Target) -> Float[Tensor, "b t c y x"]:
        """The reconstruction's channels of one of its `parts_of`."""
        return self.reconstruction[:, :, self._channels(part)]

    def drawn_part(self, part: Target) -> Float[Tensor, "b t s c y x"]:
        """The pictures' channels of one of the `parts_of` what is rebuilt, in decoders that draw each slot alone."""
        return self.drawn[:, :, :, self._channels(part)]

    def _channels(self, part: Target) -> slice:
        assert part in parts_of(self.target), f"this decoder rebuilds {self.target}, not {part}"
        return slice(None) if part == self.target else _CHANNELS[part]

    @property
    def shown(self) -> Float[Tensor, "b t s 3 y x"] | None:
        """Each slot's own picture in RGB, if that is what the slots rebuild."""
        return self.pictures if self.target == "frames" else None


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What comes after frames that were seen, of which nothing was looked at.

    slots: as they would be after seeing each of these frames. decoded: what they rebuild; None with decoders that can't
    draw a frame that nobody has seen.
    """

    slots: Float[Tensor, "b k s d"]
    decoded: Decoded | None


@dataclass(frozen=True, kw_only=True)
class VideoOutput:
    """Everything that losses and metrics receive beside the clip.

    foreseen: in the training of a model with dynamics, what it made of the frames after the clip's first ones from
    these alone; None otherwise. Where the dynamics alone are trained, features and decoded are empty, and so is the
    attention.
    """

    features: Features
    trajectory: SlotTrajectory
    decoded: Decoded
    foreseen: Foreseen | None = None


@dataclass(frozen=True, kw_only=True)
class Track:
    """One object's history in one video.

    track_id: from 1, never reused within a video. slot: the slot that held it. frames: indices, ascending. boxes:
    x0 y0 x1 y1 in source pixels, x1 and y1 one past the last pixel. areas: source pixels. confidence: in [0, 1].
    """

    track_id: int
    slot: int
    frames: Int[np.ndarray, " t"]
    boxes: Int[np.ndarray, "t 4"]
    areas: Int[np.ndarray, " t"]
    confidence: Float[np.ndarray, " t"]
