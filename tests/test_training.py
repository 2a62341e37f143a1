"""Training: exact resumption, whatever ends it, and a folder that tells all."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import odd_losses
import pytest
import torch
from numbered_videos import cut, noisy_frames, write_video
from PIL import Image
from safetensors.torch import load_file
from small_run import LENGTH, raw_config, small_config, write_squares
from torch import nn

from slotkeeper import hardware
from slotkeeper.build import build_losses, build_model, load_model
from slotkeeper.checkpoint import list_checkpoints
from slotkeeper.config import Config, TrainingConfig, load_config, parse_config
from slotkeeper.errors import CheckpointError, ConfigError, DataError, OutputError, TrainingError
from slotkeeper.training import find_run_videos, resume, train
from slotkeeper.training.optimizer import (
    WeightAverage,
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from slotkeeper.training.records import RunLog
from slotkeeper.training.run_folder import drop_lines_after, locked


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("videos"), 5)


@pytest.fixture(scope="module")
def held_out_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("held_out"), 2)


def run(config: Config, folder: Path) -> dict[str, Any]:
    return train(config, folder, show_progress=False).metrics


def final_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Averaged weights, weights and optimizer state of the newest checkpoint."""
    newest = list_checkpoints(folder)[-1]
    return load_file(newest / "model.safetensors") | load_file(newest / "training.safetensors")


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def timeless(folder: Path) -> list[dict[str, float]]:
    """The log without what depends on the machine."""
    timing = {"frames_per_second", "data_wait_share", "seconds"}
    return [{name: value for name, value in line.items() if name not in timing} for line in lines(folder)]


# 5 videos in batches of 2: the epoch ends inside a batch, and the curriculum changes in the middle of one
CURRICULUM: dict[str, Any] = {"steps": 8, "clip_length": [[0, 2], [5, 3]], "grad_clip": 0.1}


def test_interrupted_by_ctrl_c_and_resumed_equals_never_interrupted(videos: Path, tmp_path: Path):
    raw = raw_config(videos, **CURRICULUM)
    raw["losses"] = [{"name": "odd_losses:Interrupting"}, {"name": "future_prediction", "width": 4}]
    odd_losses.Interrupting.is_armed = False
    run(parse_config(raw, "test"), tmp_path / "whole")
    odd_losses.Interrupting.is_armed = True
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingError, match=r"stopped by Ctrl-C at step 5; saved in .*; go on by 'slotkeeper resume"):
        run(parse_config(raw, "test"), tmp_path / "halves")
    assert signal.getsignal(signal.SIGINT) is before
    resume(tmp_path / "halves", show_progress=False)
    assert_equal(final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "halves"))
    assert "exp_avg/future_prediction/network.down.0.weight" in final_tensors(tmp_path / "halves")
    assert [line["step"] for line in lines(tmp_path / "halves")] == [2, 4, 6, 8]
    assert timeless(tmp_path / "halves") == timeless(tmp_path / "whole")


def _train_in_child(config: Config, folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    train(config, folder, show_progress=False)


def test_killed_at_any_moment_and_resumed_equals_never_killed(videos: Path, tmp_path: Path):
    config = small_config(videos, steps=12, checkpoint_minutes=1e-9, clip_length=[[0, 2], [7, 3]])
    run(config, tmp_path / "whole")
    for number, moment in enumerate((0, 5)):
        folder = tmp_path / f"killed-{number}"
        child = multiprocessing.get_context("fork").Process(target=_train_in_child, args=(config, folder))
        child.start()
        give_up = time.monotonic() + 120
        while len(list_checkpoints(folder)) < 1 or _last_step(folder) < moment:
            assert time.monotonic() < give_up
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        load_model(folder)  # whatever is there is whole
        resume(folder, show_progress=False)
        assert_equal(final_tensors(tmp_path / "whole"), final_tensors(folder))
        assert timeless(folder) == timeless(tmp_path / "whole")
        assert sorted(entry.name for entry in (folder / "checkpoints").iterdir())[-1] == "step-00000012"
        assert len(list((folder / "checkpoints").iterdir())) == 2


def _last_step(folder: Path) -> int:
    return int(list_checkpoints(folder)[-1].name.removeprefix("step-"))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(videos: Path, tmp_path: Path):
    raw = raw_config(videos, steps=8, checkpoint_minutes=1e-9)
    raw["losses"] = [{"name": "odd_losses:NotFinite"}]
    with pytest.raises(TrainingError) as caught:
        run(parse_config(raw, "test"), tmp_path / "run")
    kept = list_checkpoints(tmp_path / "run")[-1]
    assert kept.name == "step-00000004"
    assert str(caught.value).startswith(f"the loss became nan at step 5; the last good checkpoint is {kept}")
    assert all(value.isfinite().all() for value in final_tensors(tmp_path / "run").values())


def test_everything_to_repeat_a_run_lies_in_its_folder(videos: Path, held_out_videos: Path, tmp_path: Path):
    folder = tmp_path / "run"
    config = small_config(videos, held_out_videos, sample_every=3, evaluate_every=3, evaluate_videos=1)
    metrics = run(config, folder)
    written = load_config(folder / "config.yaml")
    assert written.model.corrector.settings["num_iterations_first"] == 3  # defaults are written out
    assert (written.seed, written.training.precision) == (3, "fp32")
    assert json.loads((folder / "versions.json").read_text())["packages"]["torch"] == torch.__version__
    assert len(json.loads((folder / "data.json").read_text())["train"]) == 64
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert metrics["protocol"]["seeds"] == (3,)
    assert metrics["counts"]["videos"] == 2
    assert 0 <= metrics["data_wait_share"] < 1
    assert metrics["train_seconds"] > 0
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-00000003.png", "step-00000006.png"]
    with Image.open(folder / "samples" / "step-00000003.png") as picture:
        assert picture.width > 100
    assert {line["step"] for line in lines(folder) if "video_fg_ari" in line} == {3, 6}
    run(written, tmp_path / "again")
    assert_equal(final_tensors(folder), final_tensors(tmp_path / "again"))


def test_looking_at_held_out_videos_changes_nothing(videos: Path, held_out_videos: Path, tmp_path: Path):
    run(small_config(videos), tmp_path / "blind")
    run(small_config(videos, held_out_videos, sample_every=3, evaluate_every=4), tmp_path / "watched")
    assert_equal(final_tensors(tmp_path / "blind"), final_tensors(tmp_path / "watched"))


def test_tensorboard_reads_what_was_logged(videos: Path, held_out_videos: Path, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(small_config(videos, held_out_videos, sample_every=6), tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    logged = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert [scalar.step for scalar in events.Scalars("loss")] == [2, 4, 6]
    assert [scalar.value for scalar in events.Scalars("loss")] == pytest.approx([line["loss"] for line in logged], 1e-4)
    assert {"loss/reconstruction", "gradient_norm", "learning_rate", "data_wait_share"} <= set(events.scalars.Keys())
    (picture,) = events.Images("samples")
    assert (picture.step, picture.encoded_image_string[:4]) == (6, b"\x89PNG")


def test_training_lowers_the_loss_it_is_given(videos: Path, tmp_path: Path):
    run(small_config(videos, steps=24, lr=5e-3, log_every=6), tmp_path / "run")
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]


def test_losses_are_weighted_and_told_the_progress(videos: Path, tmp_path: Path):
    raw = raw_config(videos, steps=4, log_every=1)
    raw["losses"] = [{"name": "odd_losses:Progress", "weight": 2}, {"name": "mask_entropy", "weight": 0.5}]
    odd_losses.Progress.told.clear()
    run(parse_config(raw, "test"), tmp_path / "run")
    assert odd_losses.Progress.told == [0, 0.25, 0.5, 0.75]
    for line in lines(tmp_path / "run"):
        expected = 2 * line["loss/odd_losses:Progress"] + 0.5 * line["loss/mask_entropy"]
        assert line["loss"] == pytest.approx(expected, rel=1e-4)


def test_bf16_trains_with_losses_and_weights_in_fp32(videos: Path, tmp_path: Path):
    run(small_config(videos, precision="bf16"), tmp_path / "run")
    tensors = final_tensors(tmp_path / "run")
    assert all(value.isfinite().all() for value in tensors.values())
    assert {value.dtype for value in tensors.values()} == {torch.float32}


def test_a_used_folder_is_refused(videos: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; choose another folder with --out"):
        run(small_config(videos), tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(OutputError, match="is not empty; go on with it by 'slotkeeper resume"):
        run(small_config(videos), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder that can be written"):
        run(small_config(videos), tmp_path / "file")


def test_two_trainings_cannot_share_a_run(videos: Path, tmp_path: Path):
    with locked(tmp_path), pytest.raises(OutputError, match="another process is training in"):
        run(small_config(videos), tmp_path)


def test_a_second_process_is_refused_and_the_first_is_not_disturbed(videos: Path, tmp_path: Path):
    config, folder = small_config(videos, steps=400, checkpoint_minutes=1e-9), tmp_path / "run"
    child = multiprocessing.get_context("fork").Process(target=_train_in_child, args=(config, folder))
    child.start()
    give_up = time.monotonic() + 120
    while not list_checkpoints(folder):
        assert time.monotonic() < give_up
    with pytest.raises(OutputError, match="another process is training in"):
        resume(folder, show_progress=False)
    with pytest.raises(OutputError, match="is not empty"):
        run(config, folder)
    assert child.is_alive()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert list_checkpoints(folder)
    with locked(folder):  # the lock went with the process
        pass


def test_a_training_killed_while_it_made_its_folder_can_be_started_again(videos: Path, tmp_path: Path):
    run(small_config(videos), tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    for name in (".lock", "data.json", "versions.json", ".partial-77-config.yaml"):
        (folder / name).write_text("{}")
    run(small_config(videos), folder)
    assert_equal(final_tensors(tmp_path / "whole"), final_tensors(folder))
    assert not list(folder.rglob(".partial-*"))
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "data.json").write_text("mine")
    with pytest.raises(OutputError, match="is not empty"):
        run(small_config(videos), notes)


def test_what_a_killed_training_left_half_written_goes_when_it_is_resumed(videos: Path, tmp_path: Path):
    run(small_config(videos), tmp_path / "run")
    for place in ("", "samples", "checkpoints"):
        (tmp_path / "run" / place).mkdir(exist_ok=True)
        (tmp_path / "run" / place / f".partial-{os.getpid()}-half").write_text("ha")
    resume(tmp_path / "run", show_progress=False)
    assert not list((tmp_path / "run").rglob(".partial-*"))


def test_resuming_what_cannot_be_resumed(videos: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="is not a run folder"):
        resume(tmp_path / "absent")
    own = write_squares(tmp_path / "videos", 3)
    run(small_config(own), tmp_path / "run")
    finished = final_tensors(tmp_path / "run")
    resume(tmp_path / "run", show_progress=False)
    assert_equal(finished, final_tensors(tmp_path / "run"))
    for checkpoint in list_checkpoints(tmp_path / "run"):
        (checkpoint / "training.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="truncated"):
        resume(tmp_path / "run", show_progress=False)
    write_squares(own / "more", 1)
    with pytest.raises(DataError, match="are not those that"):
        resume(tmp_path / "run", show_progress=False)


def test_a_damaged_checkpoint_is_set_aside_and_an_older_whole_one_taken(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(small_config(videos, steps=6, checkpoint_minutes=1e-9), tmp_path / "run")
    finished = {name: value.clone() for name, value in final_tensors(tmp_path / "run").items()}  # files are mapped
    older, newest = list_checkpoints(tmp_path / "run")
    (newest / "model.safetensors").write_bytes(b"half")
    resume(tmp_path / "run", show_progress=False)
    assert f"{newest / 'model.safetensors'}" in capsys.readouterr().err
    assert_equal(finished, final_tensors(tmp_path / "run"))
    assert list_checkpoints(tmp_path / "run") == [older, newest]
    assert (newest.parent / f"damaged-{newest.name}").is_dir()


def test_a_broken_video_is_named_and_left_out(tmp_path: Path):
    own = write_squares(tmp_path / "videos", 3)
    (own / "001" / "video.mp4").write_bytes(b"not a video")
    finished = train(small_config(own), tmp_path / "run", show_progress=False)
    assert list(finished.skipped) == ["001"]
    for folder in ("000", "002"):
        (own / folder / "video.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 3 videos can be used; the first: .*000"):
        train(small_config(own), tmp_path / "other", show_progress=False)


def test_a_video_that_ends_too_soon_is_named_before_anything_is_written(tmp_path: Path):
    whole = write_video(tmp_path / "videos" / "cut.mkv", noisy_frames(40))
    cut(whole, 0.5)
    with pytest.raises(DataError, match=r"cut\.mkv") as caught:
        run(small_config(whole.parent), tmp_path / "run")
    assert "none of" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_held_out_videos_that_cannot_be_used_do_not_stop_a_training(videos: Path, tmp_path: Path):
    held_out = write_squares(tmp_path / "held_out", 2)
    for name in ("000", "001"):
        np.savez(held_out / name / "masks.npz", masks=np.zeros((LENGTH, 5, 5), np.uint8))
    config = small_config(videos, held_out, steps=2, sample_every=1, evaluate_every=1)
    finished = train(config, tmp_path / "run", show_progress=False)
    assert sorted(finished.skipped_held_out) == ["000", "001"]
    assert "5x5" in finished.skipped_held_out["000"].reason
    assert not finished.skipped
    assert "video_fg_ari" not in finished.metrics
    assert finished.metrics["steps"] == 2


def test_clips_longer_than_every_video_are_refused_before_the_curriculum_gets_there(videos: Path, tmp_path: Path):
    with pytest.raises(DataError, match="none of 5 videos has the 9 frames that clips of 9 with frame_stride 1 need"):
        run(small_config(videos, clip_length=[[0, 2], [5, 9]]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    raw = raw_config(videos, clip_length=[[0, 2], [5, 9]])
    raw["data"]["short_videos"] = "loop"
    assert run(parse_config(raw, "test"), tmp_path / "run")["steps"] == 6


def test_a_log_that_cannot_grow_is_one_sentence(videos: Path, tmp_path: Path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with RunLog(tmp_path, first_step=0) as log, pytest.raises(OutputError, match="No space left on device"):
        log.write(1, {"loss": 1.0})


def test_a_full_disk_is_one_sentence(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slotkeeper.checkpoint._write_tensors", no_space)
    with pytest.raises(OutputError, match=r"can't write .*: No space left on device"):
        run(small_config(videos), tmp_path / "run")


def test_videos_are_held_out_by_folder_or_by_share(tmp_path: Path):
    own = write_squares(tmp_path / "videos", 6, has_masks=False)
    raw = raw_config(own)
    assert [len(part) for part in held_out(raw)] == [6, 0]
    raw["data"]["val_share"] = 0.4
    train_ids, val_ids = held_out(raw)
    assert train_ids
    assert val_ids
    assert not train_ids & val_ids
    raw["data"]["val"] = str(own)
    assert [len(part) for part in held_out(raw)] == [6, 6]


def test_too_few_videos_to_hold_any_out_are_all_trained_on(tmp_path: Path):
    own = write_squares(tmp_path / "videos" / "train", 2)
    raw = raw_config(own.parent, steps=1)
    raw["data"]["val_share"] = 0.1
    finished = train(parse_config(raw, "test"), tmp_path / "run", show_progress=False)
    assert (len(finished.videos.train), finished.videos.val) == (2, [])
    assert finished.videos.note.endswith("held out, since it has train/ but no val/; so there are no scores")
    assert "protocol" not in finished.metrics
    raw["data"]["train"] = str(own / "000" / "video.mp4")
    single = find_run_videos(parse_config(raw, "test").data)
    assert (len(single.train), single.val) == (1, [])
    assert "since there is only one; so there are no scores" in single.note
    raw["data"]["val_share"] = 0
    assert find_run_videos(parse_config(raw, "test").data).note == ""


def held_out(raw: dict[str, Any]) -> tuple[set[str], set[str]]:
    found = find_run_videos(parse_config(raw, "test").data)
    return {item.video_id for item in found.train}, {item.video_id for item in found.val}


def test_the_learning_rate_rises_then_falls_to_its_share():
    config = TrainingConfig(steps=101, lr=1.0, warmup_steps=10, final_lr_share=0.2)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx((1 + 0.2) / 2)
    assert rates[-1] == pytest.approx(0.2)


def test_with_a_half_life_the_learning_rate_halves_again_and_again():
    config = TrainingConfig(steps=1000, lr=1.0, warmup_steps=9, half_life=100)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[200] == pytest.approx(0.25)
    assert rates[900] == pytest.approx(2.0**-9)


def test_parts_learn_at_rates_of_their_own(videos: Path, tmp_path: Path):
    """AdamW's first step is as long as the learning rate, whatever the gradient."""
    raw = raw_config(videos, steps=1, warmup_steps=0, grad_clip=None, lr=0.01)
    raw["losses"].append({"name": "future_prediction", "width": 4, "weight": 100.0})
    raw["training"]["lr_scale"] = {"encoder": 0.1, "future_prediction": 0.5}
    config = parse_config(raw, "test")
    model = build_model(config)
    before = {f"model/{name}": value for name, value in model.state_dict().items()}
    before |= {
        f"losses/future_prediction/{key}": v for key, v in build_losses(config, model)[1][2].state_dict().items()
    }
    run(config, tmp_path / "run")
    after = final_tensors(tmp_path / "run")
    for start, length in (("model/encoder", 0.001), ("model/decoder", 0.01), ("losses/future_prediction", 0.005)):
        moved = max(float((after[name] - before[name]).abs().max()) for name in before if name.startswith(start))
        assert moved == pytest.approx(length, rel=0.01), start


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr_scale": {"encodr": 1}}, "'encodr', which is no part of the model and no loss; did you mean 'encoder'"),
        ({"lr_scale": {"encoder": 0}}, "training.lr_scale.encoder must be above 0 and finite, got 0"),
        ({"half_life": 0}, "training.half_life must be at least 1, got 0"),
    ],
)
def test_wrong_rates_are_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        parse_config(raw_config(Path("videos"), **settings), "test")


def test_a_rate_for_a_part_that_is_not_trained_is_refused():
    model = nn.ModuleDict({"encoder": nn.Linear(3, 2).requires_grad_(False), "decoder": nn.Linear(2, 3)})
    with pytest.raises(ConfigError, match="lr_scale names 'encoder', of which nothing is trained here"):
        make_optimizer(dict(model.named_parameters()), TrainingConfig(lr_scale={"encoder": 0.1}))


def test_only_matrices_decay():
    layer = nn.Linear(3, 2)
    optimizer = make_optimizer(dict(layer.named_parameters()), TrainingConfig(lr=0.1, weight_decay=0.5))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before["weight"] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(layer.bias.detach(), before["bias"])


def test_the_average_follows_its_recursion_and_lends_its_weights():
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, 0.9)
    expected = layer.weight.item()
    for step in range(200):
        with torch.no_grad():
            layer.weight.fill_(math.sin(step))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * math.sin(step)
    with average.in_place():
        assert layer.weight.item() == pytest.approx(expected, abs=1e-5)
    assert layer.weight.item() == pytest.approx(math.sin(199))


def test_a_state_of_another_shape_or_type_is_no_state_of_this_model():
    module = nn.Linear(3, 2)
    parameters = dict(module.named_parameters())
    optimizer = make_optimizer(parameters, TrainingConfig())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    saved = optimizer_tensors(parameters, optimizer)
    restore_optimizer(parameters, optimizer, saved)
    for name, wrong in (("exp_avg/weight", torch.ones(1)), ("step/bias", torch.ones(2))):
        with pytest.raises(ValueError, match=name):
            restore_optimizer(parameters, optimizer, saved | {name: wrong})
    with pytest.raises(ValueError, match="exp_avg_sq/bias"):
        restore_optimizer(parameters, optimizer, saved | {"exp_avg_sq/bias": torch.ones(2, dtype=torch.int64)})
    with pytest.raises(ValueError, match="'weight' has shape"):
        WeightAverage(module, 0.9).restore({"weight": torch.ones(1, 1), "bias": torch.ones(2)})


def test_a_training_of_endless_steps_begins_at_once(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("slotkeeper.training.loop.Trainer.train_step", _stopped)
    began = time.process_time()
    with pytest.raises(TrainingError, match="no step"):
        run(small_config(videos, steps=2**31, batch_size=[[0, 2], [9, 3]]), tmp_path / "run")
    assert time.process_time() - began < 20


def _stopped(_: object) -> int:
    raise TrainingError("no step")


def test_logs_lose_what_comes_after_a_step_and_half_lines(tmp_path: Path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    drop_lines_after(log, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_precision_is_what_is_asked_for_or_what_is_fast(monkeypatch: pytest.MonkeyPatch):
    cpu = torch.device("cpu")
    for gain, chosen in ((3.0, "bf16"), (1.0, "fp32"), (0.5, "fp32")):
        monkeypatch.setattr(hardware, "measure_bf16_gain", lambda _, gain=gain: gain)
        assert hardware.choose_precision("auto", cpu) == chosen
        assert hardware.choose_precision("fp32", cpu) == "fp32"


def test_the_probe_measures_and_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    assert 0.01 < hardware.measure_bf16_gain(torch.device("cpu")) < 100
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, videos: Path, tmp_path: Path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no usable CUDA GPU here"):
        run(small_config(videos, device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert hardware.choose_device("auto").type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_in_bf16_and_resumes(videos: Path, tmp_path: Path):
    config = small_config(videos, videos, device="cuda", precision="bf16", steps=8, sample_every=4)
    run(config, tmp_path / "run")
    shutil.rmtree(list_checkpoints(tmp_path / "run")[-1])
    resume(tmp_path / "run", show_progress=False)
    tensors = final_tensors(tmp_path / "run")
    assert all(value.isfinite().all() for value in tensors.values())
