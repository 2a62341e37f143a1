"""Batches without end, prepared in the background, resumable at any batch."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from slotkeeper.errors import ConfigError, DataError
from slotkeeper.types import Clip

_ORDER_STREAM = 3
_POLL_SECONDS = 0.1


@runtime_checkable
class ClipSource(Protocol):
    """What a loader draws from: every sample is a function of (seed, epoch, index)."""

    def __len__(self) -> int:
        """Samples in one epoch."""

    def sample(self, *, seed: int, epoch: int, index: int) -> Any:
        """One sample."""

    def collate(self, samples: Sequence[Any]) -> Clip:
        """Several samples as one batch."""


@dataclass(frozen=True, kw_only=True)
class _Position:
    """Before the sample number `consumed` of epoch `epoch`."""

    epoch: int
    consumed: int


class ClipLoader:
    """Batches of clips, epoch after epoch; a batch may hold the last clips of one epoch and the first of the next.

    `state_dict` speaks of the batches handed out, not of those prepared, so that training resumes with the very batch
    that would have come. Batches are the same for any `num_workers` and `prefetch`.

    Args:
        dataset: where the clips come from.
        batch_size: clips in a batch, over all ranks together.
        seed: of all randomness.
        num_workers: threads that prepare the clips of a batch and of the next one; 0 for the background thread itself.
        prefetch: batches prepared ahead by one background thread; 0 prepares each when it is asked for.
        rank, world_size: this process's part; the parts of all ranks in order make the single process's batch.
        shuffle: draw a new order each epoch.

    Raises:
        ConfigError: a number out of range, or a batch that can't be shared equally among the ranks.
    """

    def __init__(
        self,
        dataset: ClipSource,
        *,
        batch_size: int,
        seed: int,
        num_workers: int = 0,
        prefetch: int = 2,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ) -> None:
        for name, value, low in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("num_workers", num_workers, 0),
            ("prefetch", prefetch, 0),
        ):
            if value < low:
                raise ConfigError(f"{name} must be at least {low}, got {value}")
        if not 0 <= rank < world_size or batch_size % world_size:
            raise ConfigError(f"batch_size {batch_size} must be a multiple of the {world_size} processes (rank {rank})")
        self.seconds_waited = 0.0
        """Time that the consumer spent waiting for batches, in seconds."""
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._num_workers = num_workers
        self._prefetch = prefetch
        self._shuffle = shuffle
        share = batch_size // world_size
        self._part = slice(rank * share, (rank + 1) * share)
        self._position = _Position(epoch=0, consumed=0)
        self._batches: Iterator[tuple[Clip, _Position]] | None = None
        self._stop: weakref.finalize[Any, Any] | None = None

    def __iter__(self) -> ClipLoader:
        return self

    def __next__(self) -> Clip:
        """The next batch; the first call waits for it, later ones find it prepared.

        Raises:
            DataError: no video is usable.
        """
        started = time.perf_counter()
        if self._batches is None:
            self._batches = self._start()
        try:
            clip, self._position = next(self._batches)
        except BaseException:
            self.close()
            raise
        self.seconds_waited += time.perf_counter() - started
        return clip

    def state_dict(self) -> dict[str, int]:
        """Where the next batch starts: `epoch`, and `consumed` samples of it."""
        return {"epoch": self._position.epoch, "consumed": self._position.consumed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state_dict` was taken; prepared batches are dropped.

        Raises:
            DataError: the state doesn't fit an epoch of this data set.
        """
        epoch, consumed = int(state["epoch"]), int(state["consumed"])
        if epoch < 0 or not 0 <= consumed <= len(self._dataset):
            raise DataError(
                f"the run stopped after {consumed} clips of epoch {epoch}, but an epoch has {len(self._dataset)}: "
                "the data set isn't the one of this run"
            )
        self.close()
        self._position = _Position(epoch=epoch, consumed=consumed)

    def close(self) -> None:
        """Stop the background thread; the next batch starts it again."""
        if self._stop is not None:
            self._stop()
        self._stop = self._batches = None

    def _start(self) -> Iterator[tuple[Clip, _Position]]:
        plan = _plan(len(self._dataset), self._position, self._batch_size, self._seed, self._shuffle)
        prepared = _prepare(self._dataset, plan, self._seed, self._part, self._num_workers)
        if self._prefetch == 0:
            return prepared
        ahead: queue.Queue[Any] = queue.Queue(maxsize=self._prefetch)
        stopped = threading.Event()
        # The thread must not hold the loader, or the loader would never be collected and the thread never stop.
        thread = threading.Thread(target=_fill, args=(ahead, prepared, stopped), name="clip-loader", daemon=True)
        thread.start()
        self._stop = weakref.finalize(self, _join, thread, stopped)
        return _drain(ahead)


def _plan(
    length: int, position: _Position, batch_size: int, seed: int, shuffle: bool
) -> Iterator[tuple[list[tuple[int, int]], _Position]]:
    """For each batch the (epoch, index) of its samples, and the position after it."""
    epoch, consumed = position.epoch, position.consumed
    order = _order(length, epoch, seed, shuffle)
    while True:
        keys: list[tuple[int, int]] = []
        while len(keys) < batch_size:
            if consumed == length:
                epoch, consumed = epoch + 1, 0
                order = _order(length, epoch, seed, shuffle)
            taken = order[consumed : consumed + batch_size - len(keys)]
            keys += [(epoch, index) for index in taken]
            consumed += len(taken)
        yield keys, _Position(epoch=epoch, consumed=consumed)


def _order(length: int, epoch: int, seed: int, shuffle: bool) -> Sequence[int]:
    if not shuffle:
        return range(length)
    order: list[int] = np.random.default_rng([_ORDER_STREAM, seed, epoch]).permutation(length).tolist()
    return order


def _prepare(
    dataset: ClipSource,
    plan: Iterator[tuple[list[tuple[int, int]], _Position]],
    seed: int,
    part: slice,
    num_workers: int,
) -> Iterator[tuple[Clip, _Position]]:
    def draw(key: tuple[int, int]) -> Any:
        return dataset.sample(seed=seed, epoch=key[0], index=key[1])

    if num_workers == 0:
        for keys, after in plan:
            yield dataset.collate([draw(key) for key in keys[part]]), after
        return
    pool = ThreadPoolExecutor(max_workers=num_workers)
    waiting: deque[tuple[list[Future[Any]], _Position]] = deque()
    try:
        for keys, after in plan:
            waiting.append(([pool.submit(draw, key) for key in keys[part]], after))
            if len(waiting) > 1:  # the workers have the next batch's clips to go on with
                clips, reached = waiting.popleft()
                yield dataset.collate([clip.result() for clip in clips]), reached
    finally:
        pool.shutdown(cancel_futures=True)


def _fill(ahead: queue.Queue[Any], prepared: Iterator[tuple[Clip, _Position]], stopped: threading.Event) -> None:
    """Body of the background thread; an error takes the place of a batch and is raised where that is asked for."""
    while not stopped.is_set():
        try:
            made: Any = next(prepared)
        except BaseException as error:
            made = error
        while not stopped.is_set():
            try:
                ahead.put(made, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue
        if isinstance(made, BaseException):
            return


def _drain(ahead: queue.Queue[Any]) -> Iterator[tuple[Clip, _Position]]:
    while True:
        made = ahead.get()
        if isinstance(made, BaseException):
            raise made
        yield made


def _join(thread: threading.Thread, stopped: threading.Event) -> None:
    stopped.set()
    if thread is not threading.current_thread():
        thread.join(timeout=10.0)
