"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from slotkeeper.build import begin_with, build_losses, build_model
from slotkeeper.checkpoint import (
    TrainingState,
    checkpoint_folder,
    keep_newest,
    load_weights,
    read_model,
    read_training_state,
    write_model,
)
from slotkeeper.config import Config
from slotkeeper.errors import CheckpointError, ConfigError, TrainingError
from slotkeeper.stopping import signal_name, stop_on_signals
from slotkeeper.training.clip_source import CurriculumSource
from slotkeeper.training.compiling import compile_recurrence, compiled_step, uncompiled
from slotkeeper.training.curriculum import frames_seen, stage_at
from slotkeeper.training.engine import make_fabric, own_device
from slotkeeper.training.gradients import SlotGradients
from slotkeeper.training.guards import FiniteGuard
from slotkeeper.training.optimizer import (
    WeightAverage,
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from slotkeeper.training.processes import Processes
from slotkeeper.training.randomness import seeded_step
from slotkeeper.training.records import Averages, RunLog, Stopwatch
from slotkeeper.training.step import TrainingStep
from slotkeeper.training.watching import Watcher

_NUM_KEPT = 2


class Trainer:
    """Everything one training holds: model, optimizer, average of the weights, position in the data.

    Randomness of a step comes from the seed and the step's number alone, so a resumed training is exact.
    `config.training.precision` must be chosen already (not "auto"). Of several processes each holds all of this for its
    part of each batch; only the first one writes. is_new: it begins where `training.start_from` says; otherwise a
    checkpoint will be restored.
    """

    def __init__(
        self,
        config: Config,
        run: Path,
        source: CurriculumSource,
        watcher: Watcher,
        processes: Processes | None = None,
        *,
        is_new: bool = True,
    ):
        self.config, self.run, self.source, self.watcher = config, run, source, watcher
        self.processes = processes or Processes()
        settings = config.training
        self.device = own_device(settings.device, self.processes.place)
        self.fabric = make_fabric(self.device, settings.precision, self.processes)
        self.model = build_model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if is_new:
            begin_with(self.model, config)
        if settings.trained == "dynamics":
            self.model.hold_slots()
        losses, recompute = build_losses(config, self.model), settings.checkpoint_activations
        self.trained = TrainingStep(self.model, losses, recompute=recompute).train().to(self.device)
        if settings.compile:
            compile_recurrence(self.model)
        self.optimizer = make_optimizer(self.trained.trained_parameters(), settings)
        self.average = WeightAverage(self.model, settings.ema_decay)
        self.step_module, self.fabric_optimizer = self.fabric.setup(self.trained, self.optimizer)
        self.step = 0
        self.seconds, self.seconds_waited = 0.0, 0.0
        self._started = time.perf_counter()
        self.guard = FiniteGuard()
        self.averages, self.stopwatch = Averages(), Stopwatch()
        self.slot_gradients = SlotGradients()
        self.last_checkpoint: Path | None = None

    def fit(self, *, show_progress: bool = True) -> None:
        """Train from the present step to the last one.

        Raises:
            TrainingError: a loss or gradient was not finite, or a signal asked to stop (after a checkpoint).
        """
        if self.step < self.config.training.steps:
            self.source.open(**self._stage(self.step))
        self._started = time.perf_counter() - self.seconds
        last_saved = time.perf_counter()
        with stop_on_signals() as stop, self._log() as log, self._bar(show_progress) as bar:
            if self.last_checkpoint is None:
                self.save()
            while self.step < self.config.training.steps:
                try:
                    frames = self.train_step()
                except ConfigError as error:
                    if not stop.number:
                        raise
                    raise TrainingError(
                        f"stopped by {signal_name(stop.number)}, which ended PyTorch's compiler, too, in step "
                        f"{self.step + 1}; go on by 'slotkeeper resume {self.run}'"
                    ) from error
                self.seconds = time.perf_counter() - self._started
                bar.update(frames)
                self._record(log, bar)
                self._look(log)
                is_due = time.perf_counter() - last_saved > 60 * self.config.training.checkpoint_minutes
                stop_signal, saves = self.processes.largest(stop.number, is_due and self.processes.is_first)
                if stop_signal and self.step < self.config.training.steps:
                    self._stop(stop_signal)
                if saves:
                    self.save()
                    last_saved = time.perf_counter()
            self.save()

    def speed(self) -> dict[str, float]:
        """Seconds of training (looking at held-out videos aside), frames per second, share spent waiting for data."""
        seconds = max(self.seconds, 1e-9)
        return {
            "train_seconds": self.seconds,
            "frames_per_second_training": frames_seen(self.config.training, self.step) / seconds,
            "data_wait_share": self.seconds_waited / seconds,
        }

    def sizes(self) -> dict[str, int]:
        """Trained numbers in the model, and in networks that losses have for themselves."""
        in_model = _num_trained(self.model)
        return {"num_parameters": in_model, "num_loss_parameters": _num_trained(self.trained) - in_model}

    def save(self) -> Path:
        """Write a checkpoint of the present step, once the last step is known to be finite; the first process does.

        Raises:
            TrainingError: it was not.
            OutputError: no space, or no permission.
        """
        self.guard.check(self.last_checkpoint)
        folder = checkpoint_folder(self.run, self.step)
        if self.last_checkpoint != folder and self.processes.is_first:
            self._write(folder)
        self.last_checkpoint = folder
        return folder

    def _write(self, folder: Path) -> None:
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"losses/{name}": value for name, value in self.trained.loss_tensors().items()}
        tensors |= optimizer_tensors(self.trained.trained_parameters(), self.optimizer)
        sums, num_summed = self.averages.state()
        tensors |= {f"averages/{name}": value for name, value in sums.items()}
        values = {
            "step": self.step,
            "steps_averaged": num_summed,
            "seconds": self.seconds,
            "seconds_waited": self.seconds_waited,
            "data": self.source.state(),
        }
        write_model(folder, self.average.weights, self.config, TrainingState(tensors=tensors, values=values))
        keep_newest(self.run, _NUM_KEPT)

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: it is damaged or doesn't fit the config.
        """
        averaged, _ = read_model(folder)
        state = read_training_state(folder)
        load_weights(self.model, _below("model/", state.tensors), folder)
        self.trained.restore_losses(_below("losses/", state.tensors), folder)
        try:
            self.average.restore(averaged)
            restore_optimizer(self.trained.trained_parameters(), self.optimizer, state.tensors)
            self.step = state.whole_number("step", most=self.config.training.steps)
            self.seconds, self.seconds_waited = state.duration("seconds"), state.duration("seconds_waited")
            self.source.restore(state.values["data"])
            sums = {name: value.to(self.device) for name, value in _below("averages/", state.tensors).items()}
            self.averages.restore(sums, int(state.values.get("steps_averaged", 0)))
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise CheckpointError(f"the training state in {folder} is damaged: {error!r}") from error
        self.last_checkpoint = folder

    def train_step(self) -> int:
        """One update of the weights; returns the number of frames seen by all processes."""
        settings = self.config.training
        before = time.perf_counter()
        clip = self.source.next_clip(**self._stage(self.step))
        waited = time.perf_counter() - before
        self.seconds_waited += waited
        seen = {name: part.to(self.device, non_blocking=True) for name, part in clip.seen.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * learning_rate(settings, self.step)
        self.slot_gradients = SlotGradients()
        watches = settings.log_slot_gradients and self._is_logged(self.step + 1)
        compiled = compiled_step() if settings.compile else nullcontext()
        seed, rank = self.config.seed, self.processes.rank
        seeded = seeded_step(seed, self.step, rank=rank, num_videos=len(clip.frames), device=self.device)
        with seeded as generator, self.processes.listening(), compiled:
            losses = self.step_module(
                seen,
                generator,
                self.step / settings.steps,
                first_segments=None if clip.segments is None else clip.segments[:, 0],
                watch=self.slot_gradients.watch if watches else None,
            )
            self.fabric.backward(losses["loss"])
        norm = self._clip_gradients()
        self.fabric_optimizer.step()
        self.fabric_optimizer.zero_grad(set_to_none=True)
        self.average.update(self.step)
        self.step += 1
        observed = {name: value.detach() for name, value in self.processes.mean(losses).items()}
        observed["gradient_norm"] = norm.detach()
        self.guard.watch(self.step, {"the loss": observed["loss"], "the gradient": norm}, self.last_checkpoint)
        num_frames = clip.times.numel() * self.processes.world_size
        self.averages.add(observed)
        self.stopwatch.add(waited=waited, frames=num_frames)
        return num_frames

    def _stage(self, step: int) -> dict[str, int]:
        return stage_at(self.config.training, step)

    def _clip_gradients(self) -> Tensor:
        limit = self.config.training.grad_clip
        norm = self.fabric.clip_gradients(
            self.step_module,
            self.fabric_optimizer,
            max_norm=float("inf") if limit is None else limit,
            error_if_nonfinite=False,
        )
        assert norm is not None
        return norm

    def _log(self) -> RunLog | nullcontext[None]:
        return RunLog(self.run, first_step=self.step) if self.processes.is_first else nullcontext()

    def _record(self, log: RunLog | None, bar: tqdm[Any]) -> None:
        """Write a line of the log where one is due."""
        settings = self.config.training
        if not self._is_logged(self.step):
            return
        slot_gradients = self.slot_gradients.read(self.processes)
        if log is None:
            return
        means = self.averages.read()
        speed = self.stopwatch.read()
        schedule = {
            "learning_rate": learning_rate(settings, self.step - 1),
            "seconds": self.seconds,
            **self._stage(self.step - 1),
        }
        bar.set_postfix_str(f"step {self.step}/{settings.steps} loss {means['loss']:.4g}")
        log.write(self.step, means | speed | schedule | slot_gradients)

    def _is_logged(self, step: int) -> bool:
        every = self.config.training.log_every
        return every > 0 and (step % every == 0 or step == self.config.training.steps)

    def _look(self, log: RunLog | None) -> None:
        """Let the watcher see the averaged model where that is due; the time it takes is not the training's."""
        if log is None or not (self.watcher.wants_pictures(self.step) or self.watcher.wants_scores(self.step)):
            return
        self.guard.check(self.last_checkpoint)
        before = time.perf_counter()
        with self.average.in_place(), uncompiled() if self.config.training.compile else nullcontext():
            self.watcher.look(self.model, self.step, log)
        looked = time.perf_counter() - before
        self._started += looked
        self.stopwatch.pause(looked)

    def _stop(self, number: int) -> None:
        folder = self.save()
        self.processes.wait()
        raise TrainingError(
            f"stopped by {signal_name(number)} at step {self.step}; saved in {folder}; "
            f"go on by 'slotkeeper resume {self.run}'"
        )

    def _bar(self, show_progress: bool) -> tqdm[Any]:
        """A bar over frames, not steps, since a step's length changes with the clips'."""
        return tqdm(
            total=frames_seen(self.config.training, self.config.training.steps),
            initial=frames_seen(self.config.training, self.step),
            desc="training",
            unit="frame",
            disable=not (show_progress and self.processes.is_first),
            mininterval=0.5,
            dynamic_ncols=True,
        )


def _below(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with `start`, without it."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _num_trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
