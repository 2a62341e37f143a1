"""Everything a run can be told, as typed values with their ranges. One YAML file holds one `Config`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from slotkeeper.config.limits import (
    LARGEST_SIDE,
    MOST_STEPS,
    MOST_VIDEOS,
    check_slot_pixels,
    check_step_pixels,
    require_least,
    require_most,
    require_share,
)
from slotkeeper.data.augment import Augmentation
from slotkeeper.data.features import check_feature_settings
from slotkeeper.data.resizing import Fit
from slotkeeper.errors import ConfigError, nearest_name


@dataclass(frozen=True, kw_only=True)
class ComponentConfig:
    """One component: its name in the catalogue (or "module:Class") and its constructor's own settings.

    In YAML the settings stand beside the name.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """One term of the loss: a component and its weight in the sum."""

    name: str
    weight: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_least(f"weight of loss '{self.name}'", self.weight, 0)


@dataclass(frozen=True, kw_only=True)
class ScenesConfig:
    """Built-in videos, rendered the first time they are needed.

    endless: train on new scenes for ever, rendered while training; `num_train` is not looked at then. num_frames: per
    video. size: pixels of a square side.
    """

    family: str = "plain"
    endless: bool = False
    num_train: int = 400
    num_val: int = 120
    num_frames: int = 16
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for key, number in (("num_train", self.num_train), ("num_val", self.num_val), ("num_frames", self.num_frames)):
            require_most(f"data.scenes.{key}", number, MOST_VIDEOS)
        require_least("data.scenes.num_train", self.num_train, 1)
        require_least("data.scenes.num_val", self.num_val, 0)
        require_least("data.scenes.num_frames", self.num_frames, 2)
        require_least("data.scenes.size", self.size, 16)
        require_least("data.scenes.seed", self.seed, 0)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the videos are and how clips are cut from them.

    train, val: folders of videos; leave both out where `scenes` renders them below `path`. val_share: the seeded
    share of `train` that is held out where there is neither `val` nor a folder `val` in `train`. size: height and
    width given to the model. frame_stride: every how many-th frame a clip takes. fit, enlarge: see
    `slotkeeper.data.resizing.Framing`. short_videos: shorter than a clip; left out, or played forth and back.
    features: a folder of what the encoder's frozen backbone made of the training videos before, or its address; null
    runs the backbone. num_workers: threads that prepare clips; null chooses. cache_gb: memory for decoded videos.
    """

    path: str = "runs/scenes"
    train: str | None = None
    val: str | None = None
    val_share: float = 0.1
    scenes: ScenesConfig | None = None
    size: tuple[int, int] = (64, 64)
    frame_stride: int = 1
    fit: Fit = "stretch"
    enlarge: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    short_videos: Literal["skip", "loop"] = "skip"
    features: str | None = None
    num_workers: int | None = None
    cache_gb: float = 2.0

    def __post_init__(self) -> None:
        for side in self.size:
            require_least("data.size", side, 8)
            require_most("data.size", side, LARGEST_SIDE)
        require_least("data.frame_stride", self.frame_stride, 1)
        require_most("data.frame_stride", self.frame_stride, 10**6)
        require_least("data.enlarge", self.enlarge, 1)
        require_most("data.enlarge", self.enlarge, 8)
        require_least("data.cache_gb", self.cache_gb, 0)
        require_most("data.cache_gb", self.cache_gb, 10**6)
        require_share("data.val_share", self.val_share)
        if self.features is not None:
            check_feature_settings(fit=self.fit, augmentation=self.augmentation)
        if self.num_workers is not None:
            require_least("data.num_workers", self.num_workers, 0)
            require_most("data.num_workers", self.num_workers, 256)
        if self.scenes is None and self.train is None:
            raise ConfigError("data needs either 'train', a folder of videos, or 'scenes', built-in videos to render")
        if self.scenes is not None and (self.train is not None or self.val is not None):
            raise ConfigError("data takes either 'scenes' or the folders 'train' and 'val', got both")
        if self.is_endless:
            self._check_endless()

    @property
    def is_endless(self) -> bool:
        """Whether training renders new scenes for ever."""
        return self.scenes is not None and self.scenes.endless

    def _check_endless(self) -> None:
        usual = {"features": None, "fit": "stretch", "enlarge": 1.0}
        for key, value in usual.items():
            if getattr(self, key) != value:
                raise ConfigError(
                    f"data.{key} doesn't go with data.scenes.endless, whose frames are rendered as they are"
                )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The five components and, if the model is to foresee, dynamics; num_slots and slot_dim go to all that need them.

    bptt: gradients through time: "full", "detach" (none), or cut every so many frames. recurrence: "clip" starts each
    frame from the slots of the one before, "frame" each from the initializer. posterior_sigma: in evaluation, how far
    a pixel's colour may lie from a slot's picture; masks then follow from seeing the frame. None for masks as decoded.
    """

    encoder: ComponentConfig
    initializer: ComponentConfig
    corrector: ComponentConfig
    predictor: ComponentConfig
    decoder: ComponentConfig
    dynamics: ComponentConfig | None = None
    num_slots: int = 7
    slot_dim: int = 64
    bptt: Literal["full", "detach"] | int = "full"
    recurrence: Literal["clip", "frame"] = "clip"
    posterior_sigma: float | None = None

    def __post_init__(self) -> None:
        if self.num_slots < 2:
            raise ConfigError(
                f"model.num_slots must be at least 2 (an object and the background), got {self.num_slots}"
            )
        require_least("model.slot_dim", self.slot_dim, 1)
        if isinstance(self.bptt, int):
            require_least("model.bptt", self.bptt, 1)
        if self.posterior_sigma is not None and not 0 < self.posterior_sigma < float("inf"):
            raise ConfigError(f"model.posterior_sigma must be positive or null, got {self.posterior_sigma}")


Steps = int | list[tuple[int, int]]
"""A number for the whole run, or pairs (from step, number)."""
Length = int | Literal["all"]
Lengths = Length | list[tuple[int, Length]]
"""The same for frames; "all" are as many as the shortest video has, and become that number when a run begins."""


def pairs_of(steps: Steps | Lengths) -> Sequence[tuple[int, Length]]:
    """Pairs (from step, number), also where there is but one number."""
    return steps if isinstance(steps, list) else [(0, steps)]


def value_at(steps: Steps | Lengths, step: int) -> int:
    """The number that holds at `step`, counted from 0."""
    value = next(value for start, value in reversed(pairs_of(steps)) if start <= step)
    assert isinstance(value, int), "'all' becomes a number before any step"
    return value


def _require_steps(key: str, steps: Steps | Lengths, least: int) -> None:
    pairs = pairs_of(steps)
    starts = [start for start, _ in pairs]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise ConfigError(f"{key} must be pairs [from step, number] with steps rising from 0, got {pairs}")
    for _, value in pairs:
        if value != "all":
            require_least(key, value, least)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how fast to learn.

    clip_length, batch_size: a number, or pairs [from step, number] for a curriculum; a clip_length of "all" is that
    of the shortest video. final_lr_share: the learning rate at the end as a share of its peak (cosine). half_life:
    steps in which the learning rate halves, instead of the cosine. lr_scale: by the names of the model's parts and of
    losses, what the learning rate of their weights is multiplied by. grad_clip: largest norm of the gradient; null for
    none. ema_decay: per step; 0 keeps no average. precision: "auto" measures
    whether bf16 is fast here. compile: let PyTorch's compiler make larger operations of the recurrence, and CUDA graphs
    on a GPU. checkpoint_activations: keep little of each frame for the backward pass and compute the rest again, which
    needs less memory and more time. checkpoint_minutes: time between checkpoints of the training; one
    is always left at the end. log_every, sample_every, evaluate_every: steps; 0 for never. log_slot_gradients: the
    gradient's norm at each frame's slots. evaluate_videos: how many held-out videos are scored then. start_from: a run
    or a model folder whose weights are the first ones. trained: "dynamics" leaves all other parts as they are there.
    """

    steps: int = 2000
    batch_size: Steps = 16
    clip_length: Lengths = 4
    lr: float = 1e-3
    weight_decay: float = 0.0
    warmup_steps: int = 100
    final_lr_share: float = 0.05
    half_life: int | None = None
    lr_scale: dict[str, float] = field(default_factory=dict)
    grad_clip: float | None = 1.0
    ema_decay: float = 0.99
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False
    checkpoint_activations: bool = False
    checkpoint_minutes: float = 5.0
    log_every: int = 20
    log_slot_gradients: bool = True
    sample_every: int = 500
    evaluate_every: int = 0
    evaluate_videos: int = 24
    start_from: str | None = None
    trained: Literal["all", "dynamics"] = "all"

    def __post_init__(self) -> None:
        require_least("training.steps", self.steps, 1)
        require_most("training.steps", self.steps, MOST_STEPS)
        _require_steps("training.batch_size", self.batch_size, 1)
        _require_steps("training.clip_length", self.clip_length, 1)
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"training.lr must be above 0 and finite, got {self.lr:g}")
        require_least("training.weight_decay", self.weight_decay, 0)
        require_least("training.warmup_steps", self.warmup_steps, 0)
        require_share("training.final_lr_share", self.final_lr_share)
        if self.half_life is not None:
            require_least("training.half_life", self.half_life, 1)
        for part, scale in self.lr_scale.items():
            if not 0 < scale < float("inf"):
                raise ConfigError(f"training.lr_scale.{part} must be above 0 and finite, got {scale:g}")
        if self.grad_clip is not None and not self.grad_clip > 0:
            raise ConfigError(f"training.grad_clip must be above 0 or null, got {self.grad_clip:g}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"training.ema_decay must be at least 0 and below 1, got {self.ema_decay:g}")
        if self.compile and self.checkpoint_activations:
            raise ConfigError("training.compile and training.checkpoint_activations can't both be true")
        if not self.checkpoint_minutes > 0:
            raise ConfigError(f"training.checkpoint_minutes must be above 0, got {self.checkpoint_minutes:g}")
        require_least("training.log_every", self.log_every, 0)
        require_least("training.sample_every", self.sample_every, 0)
        require_least("training.evaluate_every", self.evaluate_every, 0)
        require_least("training.evaluate_videos", self.evaluate_videos, 1)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a run is scored. num_frames: of each video, from its start; null for whole videos."""

    num_frames: int | None = None

    def __post_init__(self) -> None:
        if self.num_frames is not None:
            require_least("evaluation.num_frames", self.num_frames, 1)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A complete run. seed: of weights, sampling and noise."""

    model: ModelConfig
    losses: list[LossConfig]
    data: DataConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        require_least("seed", self.seed, 0)
        if self.seed >= 2**31:
            raise ConfigError(f"seed must be below 2147483648, got {self.seed}")
        size = self.data.size
        check_slot_pixels(self.model.num_slots, size)
        schedules = self.training.clip_length, self.training.batch_size
        for step in sorted({start for schedule in schedules for start, _ in pairs_of(schedule)}):
            check_step_pixels(*(_number_at(schedule, step) for schedule in schedules), size=size)
        if self.training.trained == "dynamics" and self.model.dynamics is None:
            raise ConfigError("training.trained is 'dynamics', but there are none; set model.dynamics")
        if self.training.trained == "dynamics" and self.training.start_from is None:
            raise ConfigError(
                "training.trained 'dynamics' needs training.start_from: a run or a model with trained slots"
            )
        if not self.losses:
            raise ConfigError("losses must name at least one loss, got an empty list")
        names = [loss.name for loss in self.losses]
        if len(set(names)) != len(names):
            raise ConfigError(f"losses must each be named once, got {', '.join(names)}")
        parts = [name for name, value in vars(self.model).items() if isinstance(value, ComponentConfig)]
        for name in self.training.lr_scale:
            if name not in (*parts, *names):
                raise ConfigError(
                    f"training.lr_scale names '{name}', which is no part of the model and no loss; "
                    f"{nearest_name(name, [*parts, *names])}"
                )


def _number_at(steps: Steps | Lengths, step: int) -> int:
    """The number that holds at `step`; 1 where it is "all", which isn't known yet."""
    value = next(value for start, value in reversed(pairs_of(steps)) if start <= step)
    return 1 if value == "all" else value
