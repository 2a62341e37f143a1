"""The slot model: an encoder, the recurrence over encoded frames, and a decoder.

`step` and `forward` share one recurrence. Encoding and decoding, which don't depend on time, are done for all frames at
once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import BackboneEncoder, Corrector, Decoder, Dynamics, Encoder, Initializer, Predictor
from slotkeeper.masks import responsibilities
from slotkeeper.nn.kept_slots import KeptSlots
from slotkeeper.nn.recompute import complete_by_frame, decode_by_frame, encode_by_frame
from slotkeeper.nn.unseen import draw_unseen, predict_on, slots_alone
from slotkeeper.noise import draw_seeds
from slotkeeper.recurrence import Recurrence, Watch
from slotkeeper.types import Decoded, EncoderState, Features, Foreseen, GivenStart, SlotState, VideoOutput


class SlotModel(nn.Module):
    """A video model with one set of slots per video.

    bptt: gradients through time: "full"; "detach" cuts them between all frames; a number k cuts them every k frames. A
    cut lies before the predictor, which so learns from the frame that it prepares slots for. recurrence: "clip" starts
    each frame from the slots of the one before; "frame" starts each one from the initializer, with the iterations of a
    first frame and without the predictor. posterior_sigma: in evaluation, masks say who is responsible for each pixel
    once it is seen, see `responsibilities`; None leaves them as decoded, as those of foreseen frames always are, which
    have no pixels yet. Reconstructions don't change. dynamics: tells how slots go on where no frame is seen, see
    `foresee`; it has no part in the recurrence.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        initializer: Initializer,
        corrector: Corrector,
        predictor: Predictor,
        decoder: Decoder,
        bptt: Literal["full", "detach"] | int = "full",
        recurrence: Literal["clip", "frame"] = "clip",
        posterior_sigma: float | None = None,
        dynamics: Dynamics | None = None,
    ):
        super().__init__()
        if isinstance(bptt, int) and bptt < 1:
            raise ConfigError(f"model.bptt must be 'full', 'detach' or a number of frames from 1, got {bptt}")
        if posterior_sigma is not None and not (decoder.draws_each and decoder.target == "frames"):
            raise ConfigError("model.posterior_sigma needs a decoder that draws each slot's picture in RGB; remove it")
        self.encoder = encoder
        self.initializer = initializer
        self.corrector = corrector
        self.predictor = predictor
        self.decoder = decoder
        self.bptt = bptt
        self.recurrence = recurrence
        self.posterior_sigma = posterior_sigma
        self.dynamics = dynamics
        self.is_held = False
        self._kept = KeptSlots()

    @property
    def num_slots(self) -> int:
        """Slots per video."""
        return self.initializer.num_slots

    def start(self, given: GivenStart | None = None) -> SlotState:
        """The state before a video's first frame. given: where things are in that frame, if it is known.

        Raises:
            ConfigError: the model can't begin with what is given, or has too few slots.
        """
        if given is not None:
            self._check_given(given)
        return SlotState(given=given)

    def step(
        self, state: SlotState, frame: Float[Tensor, "b 3 h w"], generator: torch.Generator | None = None
    ) -> tuple[SlotState, VideoOutput]:
        """Advance by one frame; the output has a time axis of length 1."""
        return self.advance(state, frame[:, None], generator)

    def forward(
        self,
        frames: Float[Tensor, "b t 3 h w"],
        generator: torch.Generator | None = None,
        *,
        given: GivenStart | None = None,
        features: Float[Tensor, "b t m e"] | None = None,
        watch: Watch | None = None,
        recompute: bool = False,
    ) -> VideoOutput:
        """Run over whole clips from their first frames on. given: as in `start`. All else: as in `advance`.

        In training, a model with dynamics also foresees the frames after the first `burn_in` ones, where there are any.
        """
        if self.is_held and self.training:
            output = self._slots_alone(frames, given, features)
        else:
            state = self.start(given)
            _, output = self.advance(state, frames, generator, features=features, watch=watch, recompute=recompute)
        if self.dynamics is None or not self.training or frames.shape[1] <= self.dynamics.burn_in:
            return output
        burn_in, (height, width) = self.dynamics.burn_in, frames.shape[-2:]
        past = output.trajectory.corrected[:, :burn_in]
        return replace(output, foreseen=self.foresee(past, frames.shape[1] - burn_in, (height, width)))

    @property
    def burn_in(self) -> int:
        """How many frames must be seen before any can be foreseen."""
        return max(1, self.predictor.num_past) if self.dynamics is None else self.dynamics.burn_in

    def foresee(self, past: Float[Tensor, "b p s d"], num_frames: int, size: tuple[int, int]) -> Foreseen:
        """What follows the frames that `past` has seen, by the dynamics or else by the predictor, applied repeatedly.

        past: corrected slots of at least `burn_in` consecutive frames, the newest last. size: height and width of the
        pictures. A predictor that doesn't say `foresees` makes no sense here, nor does `recurrence` "frame".
        """
        if self.dynamics is not None:
            slots = self.dynamics.roll_out(past, num_frames)
        else:
            slots = predict_on(self.predictor, past, num_frames)
        decoded = draw_unseen(self.decoder, slots, size) if self.decoder.draws_unseen else None
        return Foreseen(slots=slots, decoded=decoded)

    def hold_slots(self) -> None:
        """From now on the dynamics alone learn: all else keeps its weights, in evaluation mode and without noise."""
        self.is_held = True
        for part in self._parts_of_slots():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> SlotModel:
        """As in PyTorch; parts that are held stay in evaluation mode."""
        super().train(mode)
        for part in self._parts_of_slots() if self.is_held else ():
            part.eval()
        return self

    def _parts_of_slots(self) -> list[nn.Module]:
        return [part for name, part in self.named_children() if name != "dynamics"]

    def _slots_alone(
        self,
        frames: Float[Tensor, "b t 3 h w"],
        given: GivenStart | None,
        features: Float[Tensor, "b t m e"] | None,
    ) -> VideoOutput:
        """What is needed to train the dynamics of a model that is held: slots, and neither features nor pictures."""

        @torch.no_grad()
        def make(places: list[int]) -> Float[Tensor, "n t s d"]:
            state, known = self.start(given), None if features is None else features[places]
            encoded, _ = self._encoded(frames[places], known, state, recompute=False)
            _, trajectory = self._recurrence().fold(state, encoded)
            return trajectory.corrected

        slots = self._kept.of(frames, make) if given is None else make(list(range(len(frames))))
        return slots_alone(slots, self.decoder.target)

    def advance(
        self,
        state: SlotState,
        frames: Float[Tensor, "b t 3 h w"],
        generator: torch.Generator | None = None,
        *,
        features: Float[Tensor, "b t m e"] | None = None,
        watch: Watch | None = None,
        recompute: bool = False,
    ) -> tuple[SlotState, VideoOutput]:
        """Advance by several frames at once: the same as so many calls of `step`, encoded and decoded together.

        generator: of the videos' noise, read once at their first frame, a seed for each; without it only training is
        random. features: what the encoder's frozen backbone made of these frames before; it then isn't run. watch: sees
        each frame's corrected slots. recompute: keep little of each frame for the backward pass and compute the rest
        again there, see `slotkeeper.nn.recompute`.

        Raises:
            ConfigError: features are given to an encoder without a backbone.
        """
        encoded, encoder_state = self._encoded(frames, features, state, recompute=recompute)
        state = replace(self._with_noise(state, len(frames), generator), encoder=encoder_state)
        state, trajectory = self._recurrence().fold(state, encoded, watch, recompute=recompute)
        decode = partial(decode_by_frame, self.decoder) if recompute else self.decoder
        decoded = self._seen(decode(trajectory, encoded, (frames.shape[-2], frames.shape[-1])), frames)
        return state, VideoOutput(features=encoded, trajectory=trajectory, decoded=decoded)

    def _encoded(
        self,
        frames: Float[Tensor, "b t 3 h w"],
        targets: Float[Tensor, "b t m e"] | None,
        state: SlotState,
        *,
        recompute: bool,
    ) -> tuple[Features, EncoderState | None]:
        """What the encoder makes of frames, from its backbone's targets where they are known."""
        if targets is not None:
            if not isinstance(self.encoder, BackboneEncoder):
                raise ConfigError("features computed before need an encoder with a backbone")
            complete = partial(complete_by_frame, self.encoder) if recompute else self.encoder.from_targets
            return complete(targets, self.encoder.grid_of(frames.shape[-2], frames.shape[-1]), frames), None
        encode = partial(encode_by_frame, self.encoder) if recompute else self.encoder
        encoded: tuple[Features, EncoderState | None] = encode(frames, state.encoder)
        return encoded

    def _seen(self, decoded: Decoded, frames: Float[Tensor, "b t 3 h w"]) -> Decoded:
        """In evaluation, with the masks that follow from seeing the frames, if the model is to have these."""
        if self.posterior_sigma is None or self.training:
            return decoded
        masks = responsibilities(decoded.masks.float(), decoded.drawn.float(), frames.float(), self.posterior_sigma)
        return replace(decoded, masks=masks)

    def _recurrence(self) -> Recurrence:
        """Of the parts that the model has now; each can be exchanged at any time."""
        return Recurrence(
            initializer=self.initializer,
            corrector=self.corrector,
            predictor=self.predictor,
            bptt=self.bptt,
            begins_anew=self.recurrence == "frame",
        )

    def _with_noise(self, state: SlotState, num_videos: int, generator: torch.Generator | None) -> SlotState:
        """Draw the videos' seeds at their first frame, where anything is to be random."""
        if state.frame_index > 0 or not (self.training or generator is not None):
            return state
        return replace(state, noise_seeds=draw_seeds(num_videos, generator))

    def _check_given(self, given: GivenStart) -> None:
        kinds = self.initializer.start_kinds
        if self.recurrence == "frame":
            raise ConfigError(f"a start of {given.kind} needs model.recurrence 'clip', got 'frame'")
        if given.kind not in kinds:
            takes = f"it takes {' or '.join(kinds)}" if kinds else "its initial slots can't be given"
            raise ConfigError(f"this model can't start from {given.kind}; {takes}")
        room = self.num_slots - self.initializer.num_background
        if given.points.shape[1] > room:
            raise ConfigError(
                f"a start of {given.points.shape[1]} {given.kind} exceeds the model's {room} object slots"
            )
