"""Several processes that train one model together, on one machine or more; one alone is the usual case."""

from __future__ import annotations

import ctypes
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

from slotkeeper.errors import ConfigError, TrainingError
from slotkeeper.launched import Place, find_place
from slotkeeper.training.network import interface_among

_MEETING = timedelta(minutes=10)
"""How long processes wait for one another at the start."""
_PATIENCE = timedelta(days=7)
"""How long they wait later: the first one renders, scores and writes while the others wait. The end of a process is
noticed at once all the same, since its connections close."""
_VOICE = "slotkeeper/voice"
_INTERFACE = "GLOO_SOCKET_IFNAME"
"""Gloo's variable for the network interface of its connections."""


class Processes:
    """The processes of a training and how they talk; every method but `claims` must be called by all of them.

    rank: this one's number; the first, 0, alone writes and speaks.

    Raises:
        TrainingError: in all methods, when another process has ended.
    """

    def __init__(self, place: Place | None = None, store: distributed.Store | None = None):
        self.place = place or Place()
        self.rank, self.world_size = self.place.rank, self.place.world_size
        self._store = store
        self._is_joined = store is not None

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.world_size == 1

    def wait(self) -> None:
        """Go on when all have come here."""
        self.largest(0)

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """The largest of all processes' numbers, place by place."""
        if self.is_alone:
            return numbers
        together = torch.tensor(numbers)
        with self.listening():
            distributed.all_reduce(together, distributed.ReduceOp.MAX)
        return tuple(together.tolist())

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means of scalars that all processes have under the same names, on their own device and without gradient."""
        if self.is_alone:
            return dict(values)
        together = torch.stack([value.detach().float() for value in values.values()]) / self.world_size
        with self.listening():
            distributed.all_reduce(together)
        return dict(zip(values, together.unbind(), strict=True))

    def norms(self, own: Sequence[float]) -> list[float]:
        """Norms of the gradient of the processes' mean loss, from the norms of their own losses' gradients."""
        if self.is_alone:
            return list(own)
        squares = torch.tensor(own, dtype=torch.float64).square()
        with self.listening():
            distributed.all_reduce(squares)
        return [math.sqrt(square) / self.world_size for square in squares.tolist()]

    def from_first(self, value: Any) -> Any:
        """What the first process has, a JSON value; the others' is not looked at."""
        if self.is_alone:
            return value
        text = json.dumps(value).encode() if self.is_first else b""
        (length,) = self.largest(len(text))
        sent = torch.zeros(length, dtype=torch.uint8)
        if self.is_first:
            sent.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        with self.listening():
            distributed.broadcast(sent, src=0)
        return json.loads(bytes(sent.tolist()))

    def require_same(self, what: str, value: str) -> None:
        """Refuse to train with what differs from machine to machine.

        Raises:
            ConfigError: another process has another value than the first one.
        """
        theirs = self.from_first(value)
        (differing,) = self.largest(0 if theirs == value else self.rank)
        if differing:
            raise ConfigError(f"all processes of a training need the same {what}, but process {differing} has another")

    def claims(self) -> bool:
        """Whether this is the first process that asks; it may tell the user what went wrong.

        Where the others can't be asked any more, they have spoken.
        """
        if self._store is None:
            return True
        try:
            return bool(self._store.add(_VOICE, 1) == 1)
        except RuntimeError:
            return False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn the end of another process, which closes its connections, into a sentence."""
        try:
            yield
        except RuntimeError as error:
            if self.is_alone or not _is_lost(error):
                raise
            raise TrainingError(
                "another process of this training has ended; start them all again with 'slotkeeper resume' to go on "
                "from the last checkpoint"
            ) from error

    def part(self) -> None:
        """End the connection when all have come here; afterwards each is on its own."""
        if self._is_joined:
            self.wait()
            self._is_joined = False
            distributed.destroy_process_group()


@contextmanager
def join_processes() -> Iterator[Processes]:
    """Meet the processes that were started together with this one, if any.

    Raises:
        ConfigError: they can't be reached.
    """
    place = find_place(os.environ)
    if place.world_size == 1:
        yield Processes()
        return
    store = _meet(place)
    _connect(place, store)
    _keep_for_ever(distributed.group.WORLD)
    processes = Processes(place, store)
    yield processes  # after an error the connections end with the process, which is how the others hear of it
    processes.part()


def _connect(place: Place, store: distributed.Store) -> None:
    """Each process with each other.

    Raises:
        ConfigError: one of them can't be reached.
    """
    interface = os.environ.get(_INTERFACE)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    try:
        found = interface_among(place, store)  # a talk of all, also where the user has chosen
        interface = interface or found
        if interface:
            os.environ[_INTERFACE] = interface
        distributed.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.world_size, timeout=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"process {place.rank} of {place.world_size} met the others at {_where(place)}, but they can't all be "
            f"connected; {_INTERFACE} names the network interface to use on each machine, here {interface or 'none'}"
        ) from error


def _keep_for_ever(group: Any) -> None:
    """Let the connections end with the process, never earlier.

    Gloo's destructor waits for its threads while it holds the interpreter's lock, for which a thread that lets go of a
    tensor may wait in turn. That was seen: a process that never ended.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(group))


def _meet(place: Place) -> distributed.Store:
    """The store that all processes share; torchrun's own, or the first process's."""
    url = "env://" if "TORCHELASTIC_RUN_ID" in os.environ else f"tcp://{_where(place)}"
    try:
        meeting = rendezvous(url, place.rank, place.world_size, timeout=_MEETING)
        store: distributed.Store = next(iter(meeting))[0]
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"process {place.rank} of {place.world_size} can't meet the others at {_where(place)}"
        ) from error
    return store


def _where(place: Place) -> str:
    address = f"[{place.address}]" if ":" in place.address else place.address
    return f"{address}:{place.port}"


def _is_lost(error: RuntimeError) -> bool:
    """Whether a collective failed because of another process, as far as its text tells."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "onnection" in str(error)
