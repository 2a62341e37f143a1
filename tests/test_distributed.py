"""Several processes that train one model: they learn what one alone would, and all of them end when one does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import odd_losses
import pytest
import yaml
from safetensors.torch import load_file
from small_run import raw_config, write_squares
from together import Ended, run_together
from torch import Tensor, distributed

from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.cli import main
from slotkeeper.errors import ConfigError
from slotkeeper.launched import Place, find_place, first_node
from slotkeeper.training import network
from slotkeeper.training.network import interface_among

ROUNDING = 2e-4
"""Two processes add up gradients in another order than one, which changes their last bits. Adam divides each by its own
size, so a weight whose gradient is near zero may take another step, of up to the learning rate, 1e-3, at first."""
TIMING = {"frames_per_second", "data_wait_share", "seconds"}


def write_config(path: Path, videos: Path, **training: Any) -> str:
    """Noise, a loss over the whole batch, one with weights of its own; an epoch and a stage end in the middle."""
    stages = {"steps": 6, "batch_size": [[0, 4], [4, 2]], "clip_length": [[0, 2], [4, 3]]}
    raw = raw_config(videos, **(stages | {"grad_clip": 0.5, "log_every": 1, "checkpoint_minutes": 1e-9} | training))
    raw["losses"] = [
        {"name": "odd_losses:Interrupting", "weight": 10},
        {"name": "slot_contrast", "weight": 0.1},
        {"name": "future_prediction", "width": 4},
        {"name": "mask_sparsity"},
    ]
    path.write_text(yaml.safe_dump(raw))
    return str(path)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 5)


@pytest.fixture(scope="module")
def config(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_config(tmp_path_factory.mktemp("config") / "config.yaml", videos)


@pytest.fixture(scope="module")
def alone(config: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    odd_losses.Interrupting.is_armed = False
    assert main(["train", config, "--out", str(folder), "--quiet"]) == 0
    return folder


def two_processes(folder: Path, *arguments: str, ending: int = 0) -> list[Ended]:
    """Run a command in both; `ending`: the signal that the second one gets in the middle."""

    def work(rank: int) -> int:
        odd_losses.Interrupting.is_armed = bool(ending) and rank == 1
        odd_losses.Interrupting.number = ending
        return main(arguments)

    return run_together(work, folder)


def assert_same_run(run: Path, other: Path) -> None:
    """Every logged number but those of time, and the weights at the end."""
    for first, second in zip(logged(run), logged(other), strict=True):
        assert first == pytest.approx(second, rel=2e-3, abs=1e-6)
    expected, found = weights(run), weights(other)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() < ROUNDING, name


def logged(run: Path) -> list[dict[str, float]]:
    made = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in made] == list(range(1, 7))
    return [{name: value for name, value in line.items() if name not in TIMING} for line in made]


def weights(run: Path) -> dict[str, Tensor]:
    newest = list_checkpoints(run)[-1]
    assert newest.name == "step-00000006"
    tensors = load_file(newest / "training.safetensors") | load_file(newest / "model.safetensors")
    return {name: value for name, value in tensors.items() if not name.startswith("exp_avg")}


def test_two_processes_learn_what_one_does_from_the_same_batches(config: str, alone: Path, tmp_path: Path):
    first, second = two_processes(tmp_path, "train", config, "--out", str(tmp_path / "run"))
    assert (first.code, second.code) == (0, 0), first.printed + second.printed
    assert "trained 6 steps" in first.printed
    assert second.printed == ""
    assert_same_run(alone, tmp_path / "run")
    assert len(list((tmp_path / "run").glob("events*"))) == 1  # the first alone writes
    names = sorted(path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith("events"))
    assert names == sorted(path.name for path in alone.iterdir() if not path.name.startswith("events"))


def test_a_signal_to_one_stops_both_at_the_same_step(config: str, tmp_path: Path):
    run = tmp_path / "run"
    ended = two_processes(tmp_path, "train", config, "--out", str(run), "--quiet", ending=signal.SIGTERM)
    assert [process.code for process in ended] == [2, 2], ended
    sentence = "".join(process.printed for process in ended)
    assert sentence.startswith(
        f"slotkeeper: stopped by a termination signal at step 4; saved in {list_checkpoints(run)[-1]}"
    )
    assert sentence.count("\n") == 1


def test_one_process_stops_and_two_go_on(config: str, alone: Path, tmp_path: Path):
    run = tmp_path / "run"
    odd_losses.Interrupting.is_armed, odd_losses.Interrupting.number = True, signal.SIGINT
    assert main(["train", config, "--out", str(run), "--quiet"]) == 2
    ended = two_processes(tmp_path, "resume", str(run), "--quiet")
    assert [process.code for process in ended] == [0, 0], ended
    assert_same_run(alone, run)


def test_a_killed_process_ends_the_other_and_leaves_a_run_that_one_goes_on_with(
    config: str, alone: Path, tmp_path: Path
):
    run = tmp_path / "run"
    ended = two_processes(tmp_path, "train", config, "--out", str(run), "--quiet", ending=signal.SIGKILL)
    assert [process.code for process in ended] == [2, -signal.SIGKILL], ended
    assert ended[0].printed.startswith("slotkeeper: another process of this training has ended")
    assert ended[0].printed.count("\n") == 1
    odd_losses.Interrupting.is_armed = False
    assert main(["resume", str(run), "--quiet"]) == 0
    assert_same_run(alone, run)


def test_what_only_one_process_can_tell_is_told_once(config: str, tmp_path: Path):
    """The second one finds no videos, as on a machine without them; the first, which waits for it, keeps silent."""

    def work(rank: int) -> int:
        lost = [f"data.train={tmp_path / 'nowhere'}"] if rank == 1 else []
        return main(["train", config, "--out", str(tmp_path / "run"), "--quiet", *(["--set", *lost] if lost else [])])

    first, second = run_together(work, tmp_path)
    assert (first.code, second.code) == (2, 2), first.printed + second.printed
    assert first.printed == ""
    assert second.printed.startswith("slotkeeper: ")
    assert "nowhere" in second.printed
    assert second.printed.count("\n") == 1
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_settings_that_differ_are_refused(config: str, tmp_path: Path):
    def work(rank: int) -> int:
        return main(["train", config, "--out", str(tmp_path / "run"), "--quiet", "--set", f"training.lr={1 + rank}"])

    ended = run_together(work, tmp_path)
    assert [process.code for process in ended] == [2, 2], ended
    sentence = "slotkeeper: all processes of a training need the same settings, but process 1 has another\n"
    assert "".join(process.printed for process in ended) == sentence


def test_a_network_interface_that_is_not_there_is_told(config: str, tmp_path: Path):
    """The second process is told to use it; the first only meets it, and would wait for it in vain."""

    def work(rank: int) -> int:
        place = find_place(os.environ)
        if rank == 0:
            store = distributed.TCPStore(place.address, place.port, 2, is_master=True, wait_for_workers=False)
            interface_among(place, store)
            store.wait(["told"])
            return 0
        os.environ["GLOO_SOCKET_IFNAME"] = "nowhere0"
        code = main(["train", config, "--out", str(tmp_path / "run"), "--quiet"])
        distributed.TCPStore(place.address, place.port, 2, is_master=False).set("told", "")
        return code

    first, second = run_together(work, tmp_path)
    assert (first.code, second.code) == (0, 2), second.printed
    (own,) = [line for line in second.printed.splitlines() if line.startswith("slotkeeper: ")]
    assert own.startswith("slotkeeper: process 1 of 2 met the others at 127.0.0.1:")
    assert own.endswith("GLOO_SOCKET_IFNAME names the network interface to use on each machine, here nowhere0")
    assert not (tmp_path / "run").exists()


def test_processes_of_one_machine_talk_through_its_loopback_whatever_its_name_stands_for():
    store = distributed.HashStore()
    store.set("slotkeeper/address/1", "127.0.1.1")
    assert interface_among(Place(rank=0, world_size=2, address="localhost"), store) == "lo"
    assert store.get("slotkeeper/address/0") == b"127.0.0.1"


@pytest.mark.parametrize("ways", [{"head": "127.0.0.1"}, {}], ids=["its own name is the loopback's", "unknown"])
def test_the_first_machine_uses_the_interface_that_leads_to_another_one(
    ways: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    """Where all meet at a name of its own, that way leads nowhere else."""
    store = distributed.HashStore()
    store.set("slotkeeper/address/1", "127.0.0.1")
    store.set("slotkeeper/address/2", "192.0.2.3")
    ways = ways | {"127.0.0.1": "127.0.0.1", "192.0.2.3": "192.0.2.1"}
    monkeypatch.setattr(network, "address_towards", ways.get)
    monkeypatch.setattr(network, "interface_with", {"127.0.0.1": "lo", "192.0.2.1": "eth7"}.get)
    assert interface_among(Place(rank=0, world_size=3, address="head"), store) == "eth7"


def test_the_interface_with_an_address_is_found():
    assert network.interface_with("127.0.1.1") == "lo"
    assert network.interface_with("::1") == "lo"
    assert network.interface_with("192.0.2.1") is None  # kept for documents: nobody has it
    assert network.interface_with("2001:db8::1") is None
    own = network.address_towards("192.0.2.1")
    if own is not None:  # this machine has a network
        assert network.interface_with(own) in {name for _, name in socket.if_nameindex()} - {"lo"}


@pytest.mark.slow  # three Python processes begin
def test_torchrun_tells_once_that_a_batch_cannot_be_shared(videos: Path, tmp_path: Path):
    config = write_config(tmp_path / "config.yaml", videos, batch_size=5)
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "slotkeeper", "train", config]
    support = str(Path(odd_losses.__file__).parent)
    ended = subprocess.run(
        [sys.executable, *command, "--out", str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, support])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode != 0
    own = [line for line in ended.stderr.splitlines() if line.startswith("slotkeeper: ")]
    assert own == ["slotkeeper: training.batch_size 5 can't be shared equally by 2 processes; 4 can"]
    assert "exitcode  : 2" in ended.stderr
    assert not (tmp_path / "run").exists()


SRUN = {
    "SLURM_JOB_ID": "123456",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NODELIST": "gpu[007-008]",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


def test_places_follow_the_launcher_s_variables():
    assert find_place({}) == Place()
    batch = {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert find_place(batch).world_size == 1  # a batch script itself
    assert find_place(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}).world_size == 1
    place = find_place(SRUN)
    assert (place.rank, place.world_size, place.local_rank, place.address) == (5, 8, 1, "gpu007")
    assert place == find_place(SRUN | {"SLURM_PROCID": "5"})
    assert find_place(SRUN | {"MASTER_ADDR": "head", "MASTER_PORT": "7"}).port == 7
    torchrun = {"TORCHELASTIC_RUN_ID": "a", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_PORT": "29400"}
    assert find_place(SRUN | torchrun).rank == 3
    with pytest.raises(ConfigError, match="the launcher's variable RANK must be a number, got nothing"):
        find_place({"TORCHELASTIC_RUN_ID": "a"})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a1", "a1"), ("a1,b2", "a1"), ("gpu[007-009,012],b", "gpu007"), ("b,gpu[1-2]", "b"), ("r[1-2]n5", "r1n5")],
)
def test_the_first_machine_of_a_list(nodes: str, first: str):
    assert first_node(nodes) == first
