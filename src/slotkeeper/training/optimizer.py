"""AdamW, its schedule, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from slotkeeper.config import TrainingConfig
from slotkeeper.errors import ConfigError

_STATE_NAMES = ("step", "exp_avg", "exp_avg_sq")


def make_optimizer(parameters: Mapping[str, nn.Parameter], config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW; weights decay, but vectors (biases, norms, start slots' scale) don't.

    parameters: named as by `TrainingStep.trained_parameters`. Each group has its part's `lr_scale` beside it.

    Raises:
        ConfigError: `lr_scale` names a part of which nothing is trained.
    """
    trained = {part_of(name) for name, parameter in parameters.items() if parameter.requires_grad}
    for part in config.lr_scale:
        if part not in trained:
            raise ConfigError(f"training.lr_scale names '{part}', of which nothing is trained here; leave it out")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            scale = config.lr_scale.get(part_of(name), 1.0)
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": held, "lr_scale": scale, "weight_decay": decay} for (scale, decay), held in groups.items()],
        lr=config.lr,
        fused=True,
    )


def part_of(name: str) -> str:
    """The part of the model, or the loss, that a parameter's name begins with.

    >>> part_of("encoder.layers.0.weight"), part_of("my.module:Loss/painter.0.bias")
    ('encoder', 'my.module:Loss')
    """
    loss, slash, _ = name.partition("/")
    return loss if slash else name.partition(".")[0]


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then half a cosine from the peak to `final_lr_share` of it at the last step.

    With a `half_life` it is halved every so many steps instead, from the first one on.
    """
    if config.half_life is not None:
        warmth = min(1.0, (step + 1) / (config.warmup_steps + 1))
        return float(config.lr * warmth * 0.5 ** (step / config.half_life))
    if step < config.warmup_steps:
        return config.lr * (step + 1) / (config.warmup_steps + 1)
    share = (step - config.warmup_steps) / max(1, config.steps - 1 - config.warmup_steps)
    return config.lr * (config.final_lr_share + (1 - config.final_lr_share) * (1 + math.cos(math.pi * share)) / 2)


def optimizer_tensors(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name; parameters that never had a gradient have none."""
    tensors = {}
    for name, parameter in parameters.items():
        for state_name, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{state_name}/{name}"] = value
    return tensors


def restore_optimizer(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave, in each parameter's own memory layout.

    Raises:
        KeyError, ValueError: a tensor is missing, or has another shape or type.
    """
    for name, parameter in parameters.items():
        if f"step/{name}" not in tensors:
            continue
        state = {}
        for state_name in _STATE_NAMES:
            saved = tensors[f"{state_name}/{name}"]
            like = saved if state_name == "step" else parameter
            shape = torch.Size() if state_name == "step" else parameter.shape
            if saved.shape != shape or saved.dtype != parameter.dtype:
                raise ValueError(f"'{state_name}/{name}' is {saved.dtype} of shape {tuple(saved.shape)}")
            state[state_name] = torch.empty_like(like, dtype=saved.dtype, device=parameter.device).copy_(saved)
        optimizer.state[parameter] = state


class WeightAverage:
    """Exponential average of a model's weights; young averages forget faster, so that the start is left behind.

    The decay at step n is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self._followed = model.state_dict(keep_vars=True)
        self.weights = {name: value.detach().clone() for name, value in self._followed.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the model's present weights; whole numbers among the buffers are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged = [name for name, value in self.weights.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.weights[name] for name in averaged], [self._followed[name] for name in averaged], 1 - decay
        )
        for name in self.weights.keys() - set(averaged):
            self.weights[name].copy_(self._followed[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights within this context, and its own again after it."""
        own = {name: value.detach().clone() for name, value in self._followed.items()}
        try:
            self._overwrite(self.weights)
            yield
        finally:
            self._overwrite(own)

    @torch.no_grad()
    def _overwrite(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self._followed.items():
            value.copy_(weights[name])

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take over saved averages.

        Raises:
            KeyError, ValueError: a tensor is missing, or has another shape.
        """
        for name, value in self.weights.items():
            if weights[name].shape != value.shape:
                raise ValueError(f"'{name}' has shape {tuple(weights[name].shape)}")
            value.copy_(weights[name])
