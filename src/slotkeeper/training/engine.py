"""Lightning Fabric for this process: alone, or as one of several that train by DDP."""

from __future__ import annotations

from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from slotkeeper.errors import ConfigError
from slotkeeper.hardware import choose_device
from slotkeeper.launched import Place
from slotkeeper.training.processes import Processes

_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


def own_device(wanted: Literal["auto", "cpu", "cuda"], place: Place) -> torch.device:
    """The device of this process; each process of a machine has its own GPU.

    Raises:
        ConfigError: a GPU is asked for and there is none, or there are more processes than GPUs.
    """
    device = choose_device(wanted)
    if device.type == "cpu" or place.world_size == 1:
        return device
    count = torch.cuda.device_count()
    index = 0 if count == 1 and place.has_own_gpus else place.local_rank
    if index >= count:
        raise ConfigError(
            f"process {index + 1} of this machine has no GPU of its own, as there are only {count}; start as many "
            "processes as GPUs, or set training.device=cpu"
        )
    return torch.device("cuda", index)


def make_fabric(device: torch.device, precision: str, processes: Processes) -> Fabric:
    """An engine for one device; of several processes each counts as a machine with one device.

    So any layout goes: machines with different numbers of processes, and processes that see their own GPU alone.
    """
    environment = LightningEnvironment() if processes.is_alone else _Launched(processes.place)
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        num_nodes=processes.world_size,
        # Which weights a step uses depends on the components and on the clip's length. Buffers, frozen backbones among
        # them, don't change in training, so they aren't sent around in every step.
        strategy="auto" if processes.is_alone else DDPStrategy(find_unused_parameters=True, broadcast_buffers=False),
        precision=_PRECISION[precision],  # type: ignore[arg-type]
        plugins=[environment],
    )
    if not processes.is_alone:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        fabric.launch()
    return fabric


class _Launched(ClusterEnvironment):
    """What Fabric asks about processes that somebody else started and connected."""

    creates_processes_externally = True

    def __init__(self, place: Place):
        super().__init__()
        self._place = place

    @property
    def main_address(self) -> str:
        return self._place.address

    @property
    def main_port(self) -> int:
        return self._place.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._place.world_size

    def set_world_size(self, size: int) -> None:
        assert size == self._place.world_size

    def global_rank(self) -> int:
        return self._place.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self._place.rank

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return self._place.rank
