"""Prediction: dynamics learn on slots that stay as they are, and foresee without a look at what comes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from color_model import RED, write_h264
from PIL import Image
from small_run import LENGTH, SIDE, raw_config, write_squares
from tiny_backbone import TinyBackbone
from tiny_model import model_with

from slotkeeper.build import build_losses, build_model, load_model
from slotkeeper.checkpoint import read_model
from slotkeeper.cli import main
from slotkeeper.config import Config, parse_config
from slotkeeper.correctors.slot_attention import SlotAttention
from slotkeeper.data import VideoItem, VideoReader, find_videos, load_segments, load_video
from slotkeeper.dynamics.slotformer import SlotFormer
from slotkeeper.errors import CheckpointError, ConfigError, DataError, OutputError, VideoError
from slotkeeper.model import SlotModel
from slotkeeper.prediction import PREDICTION_FILES, check_predicts, evaluate_prediction, foresee_video, predict_videos
from slotkeeper.predictors.transformer import TransformerPredictor
from slotkeeper.training import resume, train

BURN_IN, ROLLOUT = 3, 4
CPU = torch.device("cpu")
SLOTFORMER = {
    "name": "slotformer",
    "burn_in": BURN_IN,
    "token_dim": 32,
    "num_layers": 1,
    "num_heads": 4,
    "hidden_dim": 32,
    "is_residual": True,
}


def slots_config(videos: Path, **training: Any) -> dict[str, Any]:
    raw = raw_config(videos, **({"steps": 8, "clip_length": 4} | training))
    raw["model"] |= {"decoder": {"name": "broadcast_light", "width": 16}, "initializer": {"name": "learned"}}
    return raw


def dynamics_config(videos: Path, start: Path, **training: Any) -> dict[str, Any]:
    settings = {"clip_length": BURN_IN + ROLLOUT, "batch_size": 3, "lr": 0.01, "log_every": 1}
    raw = slots_config(videos, **settings, start_from=str(start), trained="dynamics") | {
        "losses": [{"name": "foreseen_slots"}, {"name": "foreseen_pictures"}]
    }
    raw["training"] |= {"steps": 25} | training
    raw["model"]["dynamics"] = SLOTFORMER
    return raw


def config_of(raw: dict[str, Any]) -> Config:
    return parse_config(raw, "test")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"), 3)


@pytest.fixture(scope="module")
def slots_run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "slots"
    return train(config_of(slots_config(videos)), run, show_progress=False).run


@pytest.fixture(scope="module")
def dynamics_run(videos: Path, slots_run: Path) -> Path:
    run = slots_run.with_name("dynamics")
    return train(config_of(dynamics_config(videos, slots_run)), run, show_progress=False).run


def logged(run: Path, name: str) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record[name] for line in lines if name in (record := json.loads(line))]


def newest(run: Path) -> dict[str, torch.Tensor]:
    return read_model(sorted((run / "checkpoints").glob("step-*"))[-1])[0]


def test_training_improves_both_foreseen_slots_and_pictures(dynamics_run: Path):
    slots, pictures = (logged(dynamics_run, f"loss/foreseen_{kind}") for kind in ("slots", "pictures"))
    assert np.mean(slots[-5:]) < 0.7 * np.mean(slots[:2])
    assert np.mean(pictures[-5:]) < np.mean(pictures[:2])  # not by much: what the held decoder can't draw stays wrong


def test_the_slot_model_stays_as_it_was_and_the_run_holds_all_of_it(slots_run: Path, dynamics_run: Path):
    before, after = newest(slots_run), newest(dynamics_run)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    added = after.keys() - before.keys()
    assert added
    assert all(name.startswith("dynamics.") for name in added)
    clip = load_video(find_videos(load_model(dynamics_run).config.data.train or "")[0], (SIDE, SIDE))
    with torch.no_grad():
        outputs = [load_model(run).model(clip.frames) for run in (slots_run, dynamics_run)]
    assert torch.equal(outputs[0].decoded.masks, outputs[1].decoded.masks)


def test_a_training_goes_on_without_the_model_it_began_from(videos: Path, slots_run: Path, tmp_path: Path):
    run = train(config_of(dynamics_config(videos, slots_run, steps=2)), tmp_path / "run", show_progress=False).run
    whole = newest(run)
    shutil.rmtree(sorted((run / "checkpoints").glob("step-*"))[-1])
    config = (run / "config.yaml").read_text().replace(str(slots_run), str(tmp_path / "gone"))
    (run / "config.yaml").write_text(config)
    resume(run, show_progress=False)
    for name, value in newest(run).items():
        assert torch.equal(whole[name], value), name


def test_slots_of_a_clip_seen_before_are_those_made_anew():
    model = with_dynamics().train()
    model.hold_slots()
    frames = torch.rand(3, 6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first, again = (model(frames).trajectory.corrected for _ in range(2))
    torch.testing.assert_close(model(frames[[2, 0]]).trajectory.corrected, first[[2, 0]])
    assert torch.equal(first, again)
    torch.testing.assert_close(model.eval()(frames).trajectory.corrected, first, rtol=1e-4, atol=1e-5)


def test_held_slots_are_made_from_features_where_these_are_known():
    model = with_dynamics()
    model.encoder = TinyBackbone()
    model.corrector = SlotAttention(slot_dim=8, feature_dim=model.encoder.feature_dim, hidden_dim=8)
    model.train().hold_slots()
    frames = torch.rand(2, 6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    targets, _ = model.encoder.targets_of(frames)
    TinyBackbone.num_seen = 0
    from_features = model(frames, features=targets).trajectory.corrected
    assert TinyBackbone.num_seen == 0
    torch.testing.assert_close(model.eval()(frames).trajectory.corrected, from_features, rtol=1e-4, atol=1e-5)


def with_dynamics() -> SlotModel:
    model = model_with()
    model.dynamics = SlotFormer(
        slot_dim=8, burn_in=BURN_IN, token_dim=16, num_layers=1, num_heads=2, hidden_dim=16, is_residual=True
    )
    return model.eval()


def test_held_parts_get_no_gradient_and_the_dynamics_do():
    model = with_dynamics().train()
    model.hold_slots()
    output = model(torch.rand(2, 6, 3, 16, 16))
    assert output.foreseen is not None
    output.foreseen.decoded.reconstruction.square().sum().backward()
    moved = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert moved == {"dynamics"}


@torch.no_grad()
def test_what_is_foreseen_is_what_the_decoder_draws_whatever_was_seen():
    model = with_dynamics()
    frames = torch.rand(1, BURN_IN, 3, 16, 16)
    drawn = model.foresee(model(frames).trajectory.corrected, 2, (16, 16))
    other = model(torch.rand(1, 2, 3, 16, 16))  # features and attention of frames that have nothing to do with it
    redrawn = model.decoder(replace(other.trajectory, corrected=drawn.slots), other.features, (16, 16))
    assert drawn.decoded is not None
    torch.testing.assert_close(drawn.decoded.reconstruction, redrawn.reconstruction)
    torch.testing.assert_close(drawn.decoded.masks, redrawn.masks)


def test_later_frames_change_nothing(dynamics_run: Path, videos: Path, tmp_path: Path):
    frames = np.stack([frame.pixels for frame in VideoReader(videos / "000" / "video.mp4")])
    changed = frames.copy()
    changed[BURN_IN + 1 :] = RED
    loaded = load_model(dynamics_run)
    predictions = []
    for name, pixels in (("as_it_was", frames), ("changed", changed)):
        folder = tmp_path / name / "frames"
        folder.mkdir(parents=True)
        for index, picture in enumerate(pixels):
            Image.fromarray(picture).save(folder / f"{index:03d}.png")
        item = VideoItem(video_id=name, video=folder)
        predict_videos([item], loaded, tmp_path / "out" / name, num_frames=ROLLOUT, at=BURN_IN + 1)
        (result,) = (tmp_path / "out" / name).iterdir()
        video = [frame.pixels for frame in VideoReader(result / "predicted.mp4")]
        predictions.append((load_segments(result / "masks.npz"), video))
    assert np.array_equal(predictions[0][0], predictions[1][0])
    assert np.array_equal(predictions[0][1], predictions[1][1])


def test_the_command_writes_video_masks_and_scores(
    dynamics_run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = ["--model", str(dynamics_run), "--out", str(tmp_path / "out"), "--quiet"]
    video = str(videos / "000" / "video.mp4")
    assert main(["predict", video, *folder, "--frames", str(ROLLOUT), "--at", "4"]) == 0
    assert "frames 4 to 7, scored" in capsys.readouterr().out
    result = tmp_path / "out" / "video"
    assert {path.name for path in result.iterdir()} >= set(PREDICTION_FILES)
    reader = VideoReader(result / "predicted.mp4")
    pictures = [frame.pixels.astype(int) for frame in reader]
    assert len(pictures) == BURN_IN + ROLLOUT
    assert pictures[0].shape == (SIDE, 2 * SIDE, 3)
    has_border = [abs(picture[0].mean(axis=0) - (250, 140, 40)).max() < 40 for picture in pictures]
    assert has_border == [False] * BURN_IN + [True] * ROLLOUT
    assert load_segments(result / "masks.npz").shape == (ROLLOUT, SIDE, SIDE)
    facts = json.loads((result / "predicted.json").read_text())
    assert facts["seen_frames"] == [1, 3]
    assert facts["predicted_frames"] == [4, 7]
    assert {"psnr", "ssim", "video_fg_ari", "hota"} <= facts["scores"].keys()
    assert facts["scores"]["counts"]["frames"] == ROLLOUT


def test_without_a_place_the_future_of_the_whole_video_is_predicted(dynamics_run: Path, videos: Path, tmp_path: Path):
    predicted, skipped = predict_videos(find_videos(videos), load_model(dynamics_run), tmp_path, num_frames=2)
    assert not skipped
    assert [video.first for video in predicted] == [LENGTH] * 3
    assert len({video.folder for video in predicted}) == 3
    facts = json.loads((predicted[0].folder / "predicted.json").read_text())
    assert facts["scores"] is None


def test_scores_stand_beside_a_copy_and_what_seeing_gives(
    dynamics_run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--predict", str(ROLLOUT), "--json", str(tmp_path / "scores.json"), "--quiet"]
    assert main(["evaluate", str(dynamics_run), str(videos), *options]) == 0
    assert "copied" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["protocol"]["burn_in"] == BURN_IN
    assert scores["protocol"]["rollout"] == ROLLOUT
    assert scores["protocol"]["clip_length"] == ROLLOUT
    assert scores["counts"]["videos"] == 3
    assert {"copied", "seen"} == scores["baselines"].keys()
    assert len(scores["psnr_by_frame"]) == ROLLOUT
    copied = scores["baselines"]["copied"]["psnr_by_frame"]
    assert copied == sorted(copied, reverse=True)  # squares move on, so a copy gets worse with each frame


def test_a_copy_of_what_stands_still_is_perfect(tmp_path: Path):
    (tmp_path / "still").mkdir()
    frames = np.zeros((6, 16, 16, 3), dtype=np.uint8)
    frames[:, 4:9, 4:9] = RED
    write_h264(tmp_path / "still" / "video.mp4", frames)
    masks = (frames == RED).all(-1).astype(np.uint8)
    np.savez_compressed(tmp_path / "still" / "masks.npz", masks=masks)
    evaluation = evaluate_prediction(with_dynamics(), find_videos(tmp_path), size=(16, 16), num_frames=3)
    assert evaluation.copied.scores.psnr is not None
    assert evaluation.copied.scores.psnr > 40
    assert evaluation.copied.ssim == pytest.approx(1.0, abs=0.01)
    assert evaluation.copied.scores.id_switches == 0


@torch.no_grad()
def test_frames_beyond_what_is_decoded_at_once_are_those_of_one_rollout():
    model = with_dynamics()
    frames = torch.rand(1, BURN_IN, 3, 16, 16)
    slots = model(frames).trajectory.corrected
    whole = model.foresee(slots, 40, (16, 16)).decoded
    assert whole is not None
    foresight = foresee_video(model, frames, 40, device=CPU)
    torch.testing.assert_close(foresight.pictures, whole.reconstruction[0].clamp(0, 1))
    torch.testing.assert_close(foresight.masks[BURN_IN:], whole.masks[0])


@torch.no_grad()
def test_a_predictor_that_foresees_one_frame_may_be_applied_again_and_again():
    model = model_with(predictor=TransformerPredictor(slot_dim=8, hidden_dim=8)).eval()
    check_predicts(model)
    frames = torch.rand(1, 2, 3, 16, 16)
    foreseen = model.foresee(model(frames).trajectory.corrected, 2, (16, 16))
    once = model.predictor(model(frames).trajectory.corrected[:, -1], torch.zeros(1, 0, 1))
    torch.testing.assert_close(foreseen.slots[:, 0], once)
    torch.testing.assert_close(foreseen.slots[:, 1], model.predictor(once, torch.zeros(1, 0, 1)))
    assert foresee_video(model, frames, 3, device=CPU).pictures.shape == (3, 3, 16, 16)


def changed(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    section, _, name = key.partition(".")
    raw[section][name] = value
    return raw


def test_models_that_foresee_nothing_say_so(videos: Path):
    with pytest.raises(ConfigError, match="it has no dynamics"):
        check_predicts(model_with())  # whose predictor is the identity
    layered = raw_config(videos)
    with pytest.raises(ConfigError, match="needs the features of the frame"):
        check_predicts(build_model(config_of(layered)))
    leaning = changed(slots_config(videos), "model.decoder", {"name": "broadcast_light", "attention_weight": 1.0})
    with pytest.raises(ConfigError, match="broadcast_light and attention_weight 0"):
        check_predicts(build_model(config_of(leaning)))
    with pytest.raises(ConfigError, match=r"model\.recurrence 'frame'"):
        check_predicts(model_with(recurrence="frame"))
    anew = changed(changed(slots_config(videos), "model.dynamics", SLOTFORMER), "model.recurrence", "frame")
    with pytest.raises(ConfigError, match=r"model\.dynamics needs model\.recurrence 'clip'"):
        build_model(config_of(anew))


def test_losses_that_can_not_learn_are_refused(videos: Path, slots_run: Path):
    without = slots_config(videos) | {"losses": [{"name": "foreseen_slots"}]}
    with pytest.raises(ConfigError, match=r"set model\.dynamics"):
        build_losses(config_of(without), build_model(config_of(without)))
    short = config_of(dynamics_config(videos, slots_run, clip_length=BURN_IN))
    with pytest.raises(ConfigError, match=f"at least {BURN_IN + 1}"):
        build_losses(short, build_model(short))
    idle = config_of(dynamics_config(videos, slots_run) | {"losses": [{"name": "reconstruction"}]})
    with pytest.raises(ConfigError, match="teaches the dynamics nothing"):
        build_losses(idle, build_model(idle))
    layered = config_of(
        changed(dynamics_config(videos, slots_run), "model.decoder", {"name": "layered"})
        | {"losses": [{"name": "foreseen_pictures"}]}
    )
    with pytest.raises(ConfigError, match="pictures of frames that nobody has seen"):
        build_losses(layered, build_model(layered))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.start_from", None, r"needs training\.start_from"),
        ("training.start_from", "nowhere", "nowhere"),
        ("model.dynamics", None, r"set model\.dynamics"),
        ("model.corrector", {"name": "slot_attention", "hidden_dim": 16, "epsilon": 0.5}, r"model\.corrector must be"),
        ("model.num_slots", 5, r"model\.num_slots must be"),
    ],
)
def test_a_start_that_does_not_fit(videos: Path, slots_run: Path, tmp_path: Path, key: str, value: Any, message: str):
    with pytest.raises((ConfigError, CheckpointError), match=message):
        train(config_of(changed(dynamics_config(videos, slots_run), key, value)), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_training_may_begin_from_other_weights_and_move_them_all(videos: Path, slots_run: Path, tmp_path: Path):
    config = config_of(changed(slots_config(videos, start_from=str(slots_run)), "training.lr", 1e-12))
    tuned = newest(train(config, tmp_path / "tuned", show_progress=False).run)
    for name, value in newest(slots_run).items():
        torch.testing.assert_close(tuned[name], value, msg=name)


def test_videos_and_options_that_do_not_fit(
    dynamics_run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    loaded, items = load_model(dynamics_run), find_videos(videos)
    with pytest.raises(VideoError, match="only 2 of them"):
        predict_videos(items[:1], loaded, tmp_path / "out", num_frames=2, at=2)
    with pytest.raises(VideoError, match="only 0 of them"):
        predict_videos(items[:1], loaded, tmp_path / "out", num_frames=2, at=LENGTH + 9)
    with pytest.raises(ConfigError, match=f"at least {BURN_IN}"):
        predict_videos(items, loaded, tmp_path / "out", num_frames=2, burn_in=2)
    with pytest.raises(DataError, match="scored on 15 frames"):
        evaluate_prediction(loaded.model, items, size=(SIDE, SIDE), num_frames=12)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    video = str(items[0].video)
    arguments = ["--model", str(dynamics_run), "--out", str(tmp_path / "out"), "--frames", "2", "--quiet"]
    assert main(["predict", video, str(broken), *arguments]) == 3
    assert "broken.mp4" in (tmp_path / "out" / "skipped.json").read_text()
    assert main(["evaluate", str(dynamics_run), str(videos), "--burn-in", "4"]) == 2
    assert "--predict" in capsys.readouterr().err


def test_a_prediction_never_replaces_the_true_masks(dynamics_run: Path, videos: Path, tmp_path: Path):
    shutil.copytree(videos, tmp_path / "videos")
    before = (tmp_path / "videos" / "000" / "masks.npz").read_bytes()
    with pytest.raises(OutputError, match="the video itself lies"):
        predict_videos(find_videos(tmp_path / "videos"), load_model(dynamics_run), tmp_path / "videos", num_frames=2)
    assert (tmp_path / "videos" / "000" / "masks.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "100000000"], "seen and predicted, can be held"),
        (["--frames", "2", "--at", "9" * 30], "must be at most"),
        (["--frames", "2", "--burn-in", "2000000000"], "seen and predicted, can be held"),
    ],
)
def test_predictions_without_end_are_one_sentence(
    dynamics_run: Path,
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
):
    video = str(videos / "000" / "video.mp4")
    assert main(["predict", video, "--model", str(dynamics_run), "--out", str(tmp_path), *options, "--quiet"]) == 2
    assert message in capsys.readouterr().err


def test_predicted_frames_are_scored_with_another_number_of_slots_and_by_no_published_protocol(
    dynamics_run: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["evaluate", str(dynamics_run), str(videos), "--predict", "2", "--quiet"]
    assert main([*command, "--protocol", "movi_a.savi"]) == 2
    assert "--protocol can't be given with --predict" in capsys.readouterr().err
    assert main([*command, "--num-slots", "9"]) == 2
    assert "can't have 9" in capsys.readouterr().err  # its slots are learned
    assert main([*command, "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["protocol"]["num_slots"] == 4
