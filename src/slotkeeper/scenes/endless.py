"""Built-in scenes without end, for training: each clip is of a scene of its own and is seen once.

A clip is a function of the seed and of its place among all clips of the training, so a training resumes exactly, and
several processes share its batches. Processes in the background sample scenes (physics); frames are rendered in batches
on a GPU, or, where there is none, by the same processes.
"""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from slotkeeper.data import Augmentation, SkippedVideo, TruthKind
from slotkeeper.errors import ConfigError, DataError
from slotkeeper.scenes.batched import RenderedClips, draw_clips, joined
from slotkeeper.scenes.dataset import follow_parent
from slotkeeper.scenes.families import SceneFamily, find_family
from slotkeeper.scenes.physics import FRAMES_PER_SECOND
from slotkeeper.scenes.sampling import sample_scene
from slotkeeper.scenes.stage import Scene
from slotkeeper.types import Clip

_STREAM = 5
_LENGTH = 2**62


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """Which clip of which scene. num_frames: of the scene. num_shown, frame_stride: of the clip. size: width."""

    family: SceneFamily
    seed: int
    num_frames: int
    start: int
    num_shown: int
    frame_stride: int
    size: int
    with_flow: bool


@dataclass(frozen=True, kw_only=True)
class SceneSample:
    """A clip of a scene before it becomes a row of a batch. drawn: None where batches are rendered on a GPU.

    colours: what `Augmentation.draw_colours` gave.
    """

    plan: ClipPlan
    scene: Scene
    drawn: RenderedClips | None
    is_mirrored: bool
    colours: Float32[np.ndarray, "3 4"] | None


class EndlessScenes:
    """A source of clips for `ClipLoader`, to be read in order (`shuffle=False`); its one epoch is practically endless.

    Args:
        family: A name in `FAMILIES` or a family of your own.
        seed: Other scenes for another number, beside the training's own seed.
        num_frames: Of each scene, of which a clip is a random part; at least what a clip spans.
        clip_length, frame_stride: Of the clips.
        size: Height and width of the frames.
        augmentation: Random changes per clip.
        with_segments, truth: What clips carry beside frames.
        device: Where batches are rendered and lie; on the CPU scenes are rendered one by one, by the processes.
        num_processes: That sample scenes in the background; 0 for the calling thread.

    Raises:
        ConfigError: unknown family, or frames of another shape than the family's.
    """

    def __init__(
        self,
        family: str | SceneFamily,
        *,
        seed: int,
        num_frames: int,
        clip_length: int,
        size: tuple[int, int],
        frame_stride: int = 1,
        augmentation: Augmentation | None = None,
        with_segments: bool = False,
        truth: Sequence[TruthKind] = (),
        device: torch.device | None = None,
        num_processes: int = 0,
    ) -> None:
        self.skipped: list[SkippedVideo] = []
        self._family = find_family(family)
        height, width = 2 * round(size[1] * self._family.aspect / 2), size[1]
        if size != (height, width):
            raise ConfigError(
                f"endless scenes are rendered at data.size, which for '{self._family.name}' must be "
                f"[{height}, {width}], got [{size[0]}, {size[1]}]"
            )
        self._seed, self._num_frames, self._size = seed, num_frames, size
        self._frame_stride, self._augmentation = frame_stride, augmentation or Augmentation()
        self._with_segments, self._truth = with_segments, tuple(truth)
        self._device = device or torch.device("cpu")
        self.clip_length = clip_length
        self._pool: ProcessPoolExecutor | None = None
        if num_processes:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(num_processes, mp_context=spawn, initializer=_begin)

    def __len__(self) -> int:
        """Clips in the one epoch; no training gets there."""
        return _LENGTH

    def with_clip_length(self, clip_length: int) -> EndlessScenes:
        """The same scenes in clips of another length; the processes are shared."""
        other = copy.copy(self)
        other.clip_length = clip_length
        return other

    def preload(self, *, progress: bool = False) -> None:
        """Nothing: there is nothing to read beforehand."""

    def close(self) -> None:
        """End the processes in the background."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def sample(self, *, seed: int, epoch: int, index: int) -> SceneSample:
        """The clip at a place among all clips.

        Raises:
            DataError: a process in the background was killed.
        """
        draws = np.random.default_rng([_STREAM, self._seed, seed, epoch, index])
        span = (self.clip_length - 1) * self._frame_stride + 1
        plan = ClipPlan(
            family=self._family,
            seed=int(draws.integers(2**62)),
            num_frames=self._num_frames,
            start=int(draws.integers(self._num_frames - span + 1)),
            num_shown=self.clip_length,
            frame_stride=self._frame_stride,
            size=self._size[1],
            with_flow="flow" in self._truth,
        )
        is_mirrored, colours = self._augmentation.draw_flip(draws), self._augmentation.draw_colours(draws)
        scene, drawn = self._made(plan)
        return SceneSample(plan=plan, scene=scene, drawn=drawn, is_mirrored=is_mirrored, colours=colours)

    def collate(self, samples: Sequence[SceneSample]) -> Clip:
        """One batch on the device: frames as float32 in [0, 1], segments as int32."""
        drawn = [sample.drawn for sample in samples if sample.drawn is not None]
        plan = samples[0].plan
        clips = (
            joined(drawn)
            if drawn
            else _draw([sample.plan for sample in samples], [s.scene for s in samples], self._device)
        )
        mirrored = torch.tensor([sample.is_mirrored for sample in samples], device=self._device)
        frames = _mirror(clips.frames.movedim(-1, 2).float() / 255, mirrored)
        flow = None
        if clips.flow is not None:
            turn = torch.where(mirrored, -1.0, 1.0)
            flow = _mirror(clips.flow.movedim(-1, 2), mirrored)
            flow[:, :, 0] *= turn[:, None, None, None]
        starts = np.array([sample.plan.start for sample in samples])
        times = (starts[:, None] + np.arange(plan.num_shown) * plan.frame_stride) / FRAMES_PER_SECOND
        return Clip(
            frames=_recolour(frames, samples),
            times=torch.from_numpy(times.astype(np.float32)),
            segments=_mirror(clips.segments, mirrored).int() if self._with_segments else None,
            flow=flow,
            depth=_mirror(clips.depth, mirrored)[:, :, None] if "depth" in self._truth else None,
            video_ids=tuple(f"{sample.plan.family.name}-{sample.plan.seed}" for sample in samples),
        )

    def _made(self, plan: ClipPlan) -> tuple[Scene, RenderedClips | None]:
        is_drawn = self._device.type == "cpu"
        if self._pool is None:
            return _make(plan, is_drawn=is_drawn)
        try:
            return self._pool.submit(_make, plan, is_drawn=is_drawn).result()
        except BrokenProcessPool as error:
            raise DataError("a process that samples scenes was killed; 'slotkeeper resume' goes on") from error


def _begin() -> None:
    """A process is one worker among many: torch must not use all cores in each."""
    torch.set_num_threads(1)
    follow_parent()


def _make(plan: ClipPlan, *, is_drawn: bool) -> tuple[Scene, RenderedClips | None]:
    scene = sample_scene(plan.family, seed=plan.seed, num_frames=plan.num_frames)
    return scene, _draw([plan], [scene], None) if is_drawn else None


def _draw(plans: Sequence[ClipPlan], scenes: Sequence[Scene], device: torch.device | None) -> RenderedClips:
    return draw_clips(
        scenes,
        starts=[plan.start for plan in plans],
        num_frames=plans[0].num_shown,
        size=plans[0].size,
        device=device,
        frame_stride=plans[0].frame_stride,
        with_flow=plans[0].with_flow,
    )


def _mirror(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """Left and right exchanged in some rows of a batch."""
    return torch.where(mirrored.reshape(-1, *[1] * (pictures.ndim - 1)), pictures.flip(-1), pictures)


def _recolour(frames: Float[Tensor, "b t 3 h w"], samples: Sequence[SceneSample]) -> Float[Tensor, "b t 3 h w"]:
    drawn = [sample.colours for sample in samples if sample.colours is not None]
    if not drawn:
        return frames
    colours = torch.from_numpy(np.stack(drawn)).to(frames.device)
    turned = torch.einsum("bij,btjhw->btihw", colours[:, :, :3], frames) + colours[:, None, :, 3, None, None]
    return turned.clamp(0, 1)
