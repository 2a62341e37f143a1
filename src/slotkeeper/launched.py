"""Whether a launcher (torchrun or SLURM's srun) started this process together with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slotkeeper.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process stands among those that were started together.

    rank: of all, from 0. local_rank: of those on this machine. address, port: of the process of rank 0, where all meet.
    has_own_gpus: the launcher may have given each process a GPU of its own, so that it sees no other.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 29500
    has_own_gpus: bool = False


def find_place(environment: Mapping[str, str]) -> Place:
    """What the launcher's variables say; without any this process is alone.

    torchrun comes first, since srun may start it. A batch script or a shell of SLURM is no step of several tasks.

    Raises:
        ConfigError: a variable is missing or no number.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return Place(
            rank=_number(environment, "RANK"),
            world_size=_number(environment, "WORLD_SIZE"),
            local_rank=_number(environment, "LOCAL_RANK"),
            address=environment.get("MASTER_ADDR", Place.address),
            port=_number(environment, "MASTER_PORT"),
        )
    if "SLURM_STEP_NUM_TASKS" in environment and _number(environment, "SLURM_STEP_NUM_TASKS") > 1:
        nodes = environment.get("SLURM_STEP_NODELIST", Place.address)
        return Place(
            rank=_number(environment, "SLURM_PROCID"),
            world_size=_number(environment, "SLURM_STEP_NUM_TASKS"),
            local_rank=_number(environment, "SLURM_LOCALID"),
            address=environment.get("MASTER_ADDR") or first_node(nodes),
            port=_number(environment, "MASTER_PORT") if "MASTER_PORT" in environment else _slurm_port(environment),
            has_own_gpus=True,
        )
    return Place()


def first_node(nodes: str) -> str:
    """The first machine of a list as SLURM writes it.

    >>> first_node("gpu[007-009,012],login1")
    'gpu007'
    """
    name, bracket, rest = nodes.partition("[")
    if not bracket or "," in name:
        return nodes.split(",")[0]
    number = rest.partition("]")[0].split(",")[0].split("-")[0]
    return name + number + rest.partition("]")[2].split(",")[0]


def _slurm_port(environment: Mapping[str, str]) -> int:
    """One that all processes of the job step derive alike, and those of another hardly."""
    step = _number(environment, "SLURM_STEP_ID") if "SLURM_STEP_ID" in environment else 0
    return 15000 + (_number(environment, "SLURM_JOB_ID") + 101 * step) % 10000


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError) as error:
        found = f"'{environment[name]}'" if name in environment else "nothing"
        raise ConfigError(f"the launcher's variable {name} must be a number, got {found}") from error
