"""One abstract base per family of components. A component is abstract or final; models hold one of each.

Components receive plain numbers in their constructors (keyword-only) and values of `slotkeeper.types` in their calls.
What they draw at random comes from the `VideoNoise` that they are handed; drawn from the global generator, it would be
other numbers on several processes than on one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.noise import VideoNoise
from slotkeeper.types import (
    Clip,
    Decoded,
    EncoderState,
    Features,
    GivenStart,
    PastFrames,
    PlacedSlots,
    SlotTrajectory,
    Target,
    VideoOutput,
)

MAX_ITERATIONS = 1000
"""Of a corrector within one frame: a second or two for the smallest models."""


class Encoder(nn.Module, ABC):
    """Frames to features. Most encoders see each frame alone; one that doesn't returns its state.

    feature_dim: width of the tokens. pixel_dim: of the pixel embeddings. target_dim: of the targets. The last two are 0
    where there are none.
    """

    feature_dim: int
    pixel_dim: int = 0
    target_dim: int = 0

    @abstractmethod
    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Encode frames in [0, 1]; `state` is what the previous call returned for the same videos."""


class BackboneEncoder(Encoder):
    """An encoder on a pretrained backbone: frames to the backbone's targets, then targets to features.

    Between the two lies all that is trained, so what a frozen backbone makes of a video can be computed once and kept.
    Each frame is seen alone. is_frozen: the backbone is not trained; only then features have targets, since a moving
    backbone could make them easy to rebuild by making all of them alike. label: what results on these features are
    called, such as "ImageNet-supervised features".
    """

    is_frozen: bool
    label: str

    @abstractmethod
    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the targets of frames of this size.

        Raises:
            ConfigError: the backbone takes no frames of this size.
        """

    @abstractmethod
    def targets_of(
        self, frames: Float[Tensor, "b t 3 h w"]
    ) -> tuple[Float[Tensor, "b t n target_dim"], tuple[int, int]]:
        """What the backbone makes of frames in [0, 1], in float32, and its grid; no gradient if it is frozen."""

    @abstractmethod
    def from_targets(
        self, targets: Float[Tensor, "b t n target_dim"], grid: tuple[int, int], frames: Float[Tensor, "b t 3 h w"]
    ) -> Features:
        """Features of these frames, whose targets are given, of any floating type."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Two encoders of one fingerprint, frozen, make the same targets of the same frames.

        It names the backbone, its settings and the SHA-256 of its weights, and can be read.
        """

    def forward(
        self, frames: Float[Tensor, "b t 3 h w"], state: EncoderState | None = None
    ) -> tuple[Features, EncoderState | None]:
        """Both in order; there is no state."""
        targets, grid = self.targets_of(frames)
        return self.from_targets(targets, grid, frames), None


class Initializer(nn.Module, ABC):
    """First slots of a video, or of each of its frames where the model has no recurrence.

    num_background: how many of the first slots are meant for the background; 0 where the model doesn't say. noise_per:
    whether the model hands over one noise for all frames of a video or another one for each; matters only without
    recurrence. start_kinds: what it can be given to begin with. needs_start: it learned with a start and means little
    without. has_guess: its slots come with a guess. is_resizable: it makes sense of another number of slots than it was
    trained with, by `with_num_slots`.
    """

    num_slots: int
    num_background: int = 0
    noise_per: Literal["video", "frame"] = "video"
    start_kinds: tuple[str, ...] = ()
    needs_start: bool = False
    has_guess: bool = False
    is_resizable: bool = False

    @abstractmethod
    def forward(
        self,
        features: Features,
        noise: VideoNoise | None = None,
        *,
        frame_index: int = 0,
        given: GivenStart | None = None,
    ) -> PlacedSlots:
        """Slots for the first frame of `features`.

        In training, what is random comes from `noise` (or the global generator where None); in evaluation nothing is
        random unless noise is given. frame_index: of that frame in the video. given: of a kind in `start_kinds`; its
        things get the slots after the background's, in their order.
        """

    def with_num_slots(self, num_slots: int) -> Initializer:
        """A copy that gives another number of slots, weights and first slots as they were; deterministic.

        Asked only where `is_resizable`.
        """
        raise NotImplementedError(f"{type(self).__name__} has a fixed number of slots")

    def admit(self, placed: PlacedSlots, frame: Features, attention: Float[Tensor, "b s n"]) -> PlacedSlots:
        """Give free slots to what a later frame shows and no slot holds; most initializers admit nothing.

        placed: slots that have seen `frame`, with the attention they paid to it. Deterministic.
        """
        return placed


class Corrector(nn.Module, ABC):
    """Slots prepared for a frame, and the frame, to slots that have seen it.

    means_dim: width of the tokens that slots draw to be compared with the frame's, 0 in correctors that draw none.
    """

    means_dim: int = 0

    def prepare(self, features: Features) -> Features:
        """Whatever can be done for all frames at once, before any slot is known; most often nothing."""
        return features

    @abstractmethod
    def forward(
        self, slots: PlacedSlots, frame: Features, *, is_first: bool, noise: VideoNoise | None = None
    ) -> tuple[PlacedSlots, Float[Tensor, "b s n"]]:
        """Return corrected slots and the last iteration's attention, which sums to 1 over slots.

        frame: what `prepare` made of one frame's features, with a time axis of length 1. is_first: of those that the
        initializer prepared. noise: of training; evaluation draws nothing.
        """


class Predictor(nn.Module, ABC):
    """Slots of one frame to slots prepared for the next; called when the next frame is there.

    num_past: how many of the latest frames it looks back at. foresees: it tells from frames before alone how slots will
    have changed, without reading the next frame's tokens, so that it can be applied to its own predictions.
    """

    num_past: int = 0
    foresees: bool = False

    @abstractmethod
    def forward(
        self,
        slots: Float[Tensor, "b s d"],
        tokens: Float[Tensor, "b n e"],
        past: PastFrames | None = None,
        noise: VideoNoise | None = None,
    ) -> Float[Tensor, "b s d"]:
        """Predict one frame ahead.

        Args:
            slots: as they were after seeing the latest frame.
            tokens: of the frame to prepare for. A predictor that uses them doesn't foresee, it looks.
            past: the latest frames, up to `num_past` and that of `slots` among them; None where `num_past` is 0.
            noise: of training; evaluation draws nothing.
        """


class Dynamics(nn.Module, ABC):
    """Slots of the latest frames to those of the next one, which nobody has seen; all as they are after correction.

    burn_in: how many frames it looks back at.
    """

    burn_in: int

    @abstractmethod
    def forward(self, past: Float[Tensor, "b p s d"]) -> Float[Tensor, "b s d"]:
        """One frame ahead; `past` holds the latest `burn_in` frames, the newest last."""

    def roll_out(self, past: Float[Tensor, "b p s d"], num_frames: int) -> Float[Tensor, "b k s d"]:
        """So many frames ahead, each from the ones before it, predicted ones among them; gradients flow through all.

        past: at least `burn_in` frames, the newest last.
        """
        frames = list(past[:, -self.burn_in :].unbind(1))
        for _ in range(num_frames):
            frames.append(self(torch.stack(frames[-self.burn_in :], dim=1)))
        return torch.stack(frames[self.burn_in :], dim=1)


class Decoder(nn.Module, ABC):
    """Slots of all frames at once to pictures and masks.

    target: what it rebuilds, the same as in what it returns. draws_each: it draws each slot's picture alone. num_codes:
    of the vocabulary where codes are rebuilt, 0 elsewhere. has_similarities: it foresees where the like of each token
    will be. draws_unseen: it reads the corrected slots alone, neither the features of the frame nor the attention, so
    that it can draw a frame that nobody has seen. What is random in training comes from the trajectory's `noise_seeds`;
    evaluation draws nothing.
    """

    target: Target = "frames"
    draws_each: bool = True
    num_codes: int = 0
    has_similarities: bool = False
    draws_unseen: bool = False

    @abstractmethod
    def forward(self, trajectory: SlotTrajectory, features: Features, size: tuple[int, int]) -> Decoded:
        """Decode the corrected slots; `size` (height, width) is that of the frames."""


class Loss(nn.Module, ABC):
    """One scalar from a clip and what the model made of it; never reads `clip.segments`.

    A loss may have parameters of its own. They are trained and saved beside the model, and are no part of it.
    min_frames, min_side: frames of the shortest clip, and pixels of the shorter side, that it can make sense of.
    is_per_frame: it looks at each frame alone and takes the mean, so that it may be given one frame after the other.
    target: what the decoder must rebuild for it; None for losses that don't read what is rebuilt. reads_pictures:
    it looks at each slot's own picture. reads_foreseen: it judges what was foreseen, by the
    slots and frames that came, and looks at nothing else. reads_unseen: pictures of foreseen frames, too.
    """

    min_frames: int = 1
    min_side: int = 1
    is_per_frame: bool = False
    target: Target | None = None
    reads_pictures: bool = False
    reads_foreseen: bool = False
    reads_unseen: bool = False

    @abstractmethod
    def forward(self, clip: Clip, output: VideoOutput, *, progress: float) -> Float[Tensor, ""]:
        """Mean loss over the batch. `progress` is the share of training done, in [0, 1], for schedules.

        Several processes train on parts of a batch and average the gradients. That is the whole batch's where the loss
        is a mean over videos, each looked at alone; for others see `slotkeeper.nn.gathering`.
        """
