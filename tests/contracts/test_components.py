"""What every component of the catalogue keeps, whatever it does inside."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from random_trunks import write_random_weights
from tiny_vits import tiny_vit

from slotkeeper.catalog import FAMILIES, find_component
from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import Encoder
from slotkeeper.model import SlotModel
from slotkeeper.nn.recompute import judge_by_frame
from slotkeeper.types import Clip, GivenStart, SlotState, VideoOutput, parts_of

WIDTHS = {
    "num_slots": 4,
    "slot_dim": 32,
    "feature_dim": 24,
    "pixel_dim": 16,
    "num_background": 1,
    "has_guess": True,
    "means_dim": 3,
    "target_dim": 20,
    "num_codes": 24,
    "has_similarities": True,
    "burn_in": 2,
}
BATCH, TIME, SIZE = 3, 4, (32, 48)

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("encoder", "resnet_transformer"): {"width": 8, "num_blocks": (1, 1, 1, 1), "attention_dim": 8, "hidden_dim": 16},
    ("decoder", "patch_mlp"): {"grid": (4, 6), "hidden_dim": 32},
    ("decoder", "slot_mixer"): {"grid": (5, 7), "hidden_dim": 32},
}
"""Of components that are large by default; the second grid is another one than the tokens have."""

PARTNERS: dict[tuple[str, str], dict[str, str]] = {
    ("decoder", "nem"): {"encoder": "pixels", "corrector": "nem"},
    ("encoder", "savi"): {"decoder": "broadcast"},
    ("encoder", "vit"): {"decoder": "broadcast"},
    ("encoder", "cnn_pretrained"): {"decoder": "broadcast"},
    ("encoder", "resnet_transformer"): {"decoder": "broadcast"},
    ("encoder", "steve"): {"decoder": "autoregressive"},
    ("decoder", "patch_mlp"): {"encoder": "cnn_pretrained"},
    ("decoder", "slot_mixer"): {"encoder": "cnn_pretrained"},
}
"""What a component can't do without."""


def files_of(family: str, name: str) -> dict[str, Any]:
    """Settings that name files which a component can't do without."""
    return {"weights": str(tiny_vit())} if (family, name) == ("encoder", "vit") else {}


def make(family: str, name: str, widths: dict[str, int] = WIDTHS, **settings: Any) -> Any:
    """A component with these widths, as far as its constructor names them."""
    settings = files_of(family, name) | settings
    component = find_component(family, name)
    wanted = inspect.signature(component).parameters
    torch.manual_seed(0)
    wired = {width: value for width, value in widths.items() if width in wanted}
    return component(**wired | SETTINGS.get((family, name), {}) | settings)


def widths_of(encoder: Encoder) -> dict[str, int]:
    own = {name: getattr(encoder, name) for name in ("feature_dim", "pixel_dim", "target_dim")}
    return WIDTHS | own


def make_model(**chosen: str) -> SlotModel:
    """A small model; families not chosen have plain defaults. A decoder's target may stand behind its name."""
    names = {
        "encoder": "cnn",
        "initializer": "first_frame",
        "corrector": "slot_attention",
        "predictor": "transformer",
        "decoder": "layered",
    } | chosen
    encoder = make("encoder", names.pop("encoder"))
    widths = widths_of(encoder)
    decoder, _, target = names.pop("decoder").partition(" of ")
    parts = {family: make(family, name, widths) for family, name in names.items()}
    parts["decoder"] = make("decoder", decoder, widths, **({"target": target} if target else {}))
    return SlotModel(encoder=encoder, **parts)


def clip_of(pictures: torch.Tensor) -> Clip:
    """With all that a loss may look at, apart from what a model makes of it."""
    batch, time, _, height, width = pictures.shape
    generator = torch.Generator().manual_seed(7)
    return Clip(
        frames=pictures,
        times=torch.zeros(batch, time),
        flow=torch.randn(batch, time, 2, height, width, generator=generator),
        depth=1 + torch.rand(batch, time, 1, height, width, generator=generator),
    )


def frames(seed: int = 0, batch: int = BATCH, time: int = TIME) -> torch.Tensor:
    return torch.rand(batch, time, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


NEEDED = {
    "preheat": {"initializer": "preheated"},
    "flow_reconstruction": {"decoder": "broadcast_light of flow"},
    "flow_mixture": {"decoder": "broadcast_light of flow"},
    "depth_reconstruction": {"decoder": "broadcast of flow_and_depth"},
    "code_likelihood": {"decoder": "autoregressive"},
    "dvae": {"decoder": "autoregressive"},
    "feature_reconstruction": {"encoder": "cnn_pretrained", "decoder": "patch_mlp"},
    "feature_similarity": {"encoder": "cnn_pretrained", "decoder": "slot_mixer"},
    "foreseen_slots": {"dynamics": "slotformer"},
    "foreseen_pictures": {"dynamics": "slotformer", "decoder": "broadcast"},
}
"""Losses that work with certain components only."""


def given_to(model: SlotModel) -> GivenStart | None:
    """Two boxes for models that learn from them; the first slots of others are their own affair."""
    if not model.initializer.needs_start:
        return None
    boxes = torch.tensor([[-0.5, -0.5, 0.0, 0.0], [0.1, 0.2, 0.6, 0.9]]).expand(BATCH, 2, 4)
    points = (boxes[..., :2] + boxes[..., 2:]) / 2
    return GivenStart(kind="boxes", points=points, boxes=boxes, is_given=torch.tensor([[True, True]] * BATCH))


ALL = [(family, name) for family, names in FAMILIES.items() for name in names]
IN_MODEL = [(family, name) for family, name in ALL if family != "loss"]


@pytest.fixture(params=IN_MODEL, ids=lambda pair: "-".join(pair))
def model(request: pytest.FixtureRequest) -> SlotModel:
    family, name = request.param
    return make_model(**{family: name}, **PARTNERS.get((family, name), {}))


def run(model: SlotModel, pictures: torch.Tensor) -> VideoOutput:
    with torch.no_grad():
        return model.eval()(pictures)


def run_by_steps(model: SlotModel, pictures: torch.Tensor) -> tuple[SlotState, torch.Tensor, torch.Tensor]:
    """The last state, masks and corrected slots of one frame after the other."""
    state, masks, corrected = model.eval().start(), [], []
    with torch.no_grad():
        for picture in pictures.unbind(1):
            state, output = model.step(state, picture)
            masks.append(output.decoded.masks)
            corrected.append(output.trajectory.corrected)
    return state, torch.cat(masks, 1), torch.cat(corrected, 1)


def test_shapes_and_sums(model: SlotModel):
    output = run(model, frames())
    num_slots = model.num_slots
    decoded = output.decoded
    assert decoded.target == model.decoder.target
    assert decoded.reconstruction.shape[:2] == (BATCH, TIME)
    if decoded.target == "frames":
        assert decoded.reconstruction.shape == (BATCH, TIME, 3, *SIZE)
    assert (decoded.pictures is not None) == model.decoder.draws_each
    assert (decoded.code_scores is not None) == (decoded.target == "codes")
    if decoded.pictures is not None:
        assert decoded.pictures.shape == (BATCH, TIME, num_slots, *decoded.reconstruction.shape[2:])
    assert decoded.masks.shape[:3] == (BATCH, TIME, num_slots)
    torch.testing.assert_close(decoded.masks.sum(2), torch.ones(BATCH, TIME, *decoded.masks.shape[3:]))
    attention = output.trajectory.attention
    torch.testing.assert_close(attention.sum(2), torch.ones(BATCH, TIME, attention.shape[-1]))
    rows, columns = output.features.grid
    assert output.features.tokens.shape[2] == rows * columns
    targets = output.features.targets
    assert model.encoder.target_dim == (0 if targets is None else targets.shape[3])
    height, width = output.features.colors.shape[-2:]
    assert (height % rows, width % columns) == (0, 0)


def test_gradients_are_finite_and_reach_every_parameter(model: SlotModel):
    output = model.train()(frames(), torch.Generator().manual_seed(1), given=given_to(model))
    weights = torch.rand_like(output.decoded.reconstruction)
    reads_pixels = "pixel_dim" in inspect.signature(type(model.decoder)).parameters
    total = (output.decoded.reconstruction * weights).sum()
    if output.trajectory.guesses is not None:  # what makes a guess learns from it alone
        total = total + output.trajectory.guesses.square().sum()
    if output.decoded.code_scores is not None:  # and so does what finds codes
        total = total + output.decoded.code_scores.square().sum()
    if output.decoded.similarities is not None:
        total = total + output.decoded.similarities.square().sum()
    if output.foreseen is not None:
        total = total + output.foreseen.slots.square().sum()
    total.backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # a frozen backbone
            continue
        if name in {"initializer.spare", "initializer.free"} or (name.startswith("encoder.pixel") and not reads_pixels):
            continue  # these start only where a frame has fewer things than slots
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_evaluation_is_deterministic_and_leaves_the_global_generator_alone(model: SlotModel):
    before = torch.random.get_rng_state()
    first, second = run(model, frames()), run(model, frames())
    assert torch.equal(first.decoded.masks, second.decoded.masks)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_videos_of_a_batch_do_not_touch_each_other(model: SlotModel):
    pictures = frames()
    alone = run(model, pictures[1:2])
    together = run(model, pictures)
    torch.testing.assert_close(together.decoded.masks[1:2], alone.decoded.masks, rtol=1e-4, atol=1e-5)


def test_steps_agree_with_the_clip(model: SlotModel):
    pictures = frames(time=7)
    whole = run(model, pictures)
    state, masks, corrected = run_by_steps(model, pictures)
    torch.testing.assert_close(masks, whole.decoded.masks, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(corrected, whole.trajectory.corrected, rtol=1e-4, atol=1e-5)
    assert state.frame_index == pictures.shape[1]


def test_chunks_agree_with_the_clip(model: SlotModel):
    pictures = frames(time=7)
    whole = run(model, pictures)
    with torch.no_grad():
        state, first = model.advance(model.start(), pictures[:, :3])
        _, second = model.advance(state, pictures[:, 3:])
    joined = torch.cat((first.decoded.masks, second.decoded.masks), 1)
    torch.testing.assert_close(joined, whole.decoded.masks, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES["initializer"])
def test_steps_agree_with_the_clip_without_recurrence(name: str):
    model = make_model(initializer=name).eval()
    model.recurrence = "frame"
    pictures = frames()
    _, masks, _ = run_by_steps(model, pictures)
    torch.testing.assert_close(masks, run(model, pictures).decoded.masks, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("time", [1, 2, 9])
def test_any_clip_length(time: int):
    assert run(make_model(), frames(time=time)).decoded.masks.shape[1] == time


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Settings of losses that can't do without, by name."""
    weights = write_random_weights(tmp_path_factory.mktemp("trunk"), "squeeze")
    return {"perceptual": {"backbone": "squeeze", "trunk_weights": str(weights)}}


@pytest.mark.parametrize("name", FAMILIES["loss"])
def test_losses_are_finite_scalars_with_gradients(name: str, needed: dict[str, dict[str, Any]]):
    model = make_model(**NEEDED.get(name, {})).train()
    pictures = frames()
    component = make("loss", name, widths_of(model.encoder), **needed.get(name, {}))
    assert component.target in (None, *parts_of(model.decoder.target))
    loss = component(clip_of(pictures), model(pictures), progress=0.5)
    assert loss.shape == ()
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in component.parameters())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert any(p.grad.abs().sum() > 0 for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", [name for name in FAMILIES["loss"] if find_component("loss", name).is_per_frame])
def test_losses_per_frame_are_the_mean_over_frames(name: str):
    model = make_model(**NEEDED.get(name, {}))
    output = run(model, frames())
    component = make("loss", name, widths_of(model.encoder))
    clip = clip_of(frames())
    alone = judge_by_frame(component, clip, output, 0.5)
    torch.testing.assert_close(alone, component(clip, output, progress=0.5))


@pytest.mark.parametrize(("family", "name"), ALL)
def test_docstrings_speak(family: str, name: str):
    assert (find_component(family, name).__doc__ or "").strip()


def test_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'slot_attention'"):
        find_component("corrector", "slot_atention")


def test_import_path_with_a_colon_needs_no_line():
    found = find_component("predictor", "slotkeeper.predictors.identity:IdentityPredictor")
    assert found is find_component("predictor", "identity")


@pytest.mark.parametrize("path", ["nowhere:Class", "slotkeeper.model:Nothing", "slotkeeper.catalog:FAMILIES"])
def test_import_path_that_leads_nowhere(path: str):
    with pytest.raises(ConfigError):
        find_component("predictor", path)
