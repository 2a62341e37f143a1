"""What the losses reward."""

from __future__ import annotations

import pytest
import torch

from slotkeeper.errors import ConfigError
from slotkeeper.losses.masks import MaskEntropy, MaskSparsity
from slotkeeper.losses.reconstruction import ExpectedError, MixtureLikelihood, PixelReconstruction, local_variance
from slotkeeper.types import Clip, Decoded, Features, SlotTrajectory, VideoOutput


def output_of(masks: torch.Tensor, pictures: torch.Tensor) -> VideoOutput:
    """Masks `s h w` and pictures `s 3 h w` as the output of one frame of one video."""
    masks, pictures = masks[None, None], pictures[None, None]
    slots, tokens = torch.zeros(1, 1, masks.shape[2], 1), torch.zeros(1, 1, 1, 1)
    return VideoOutput(
        features=Features(tokens=tokens, grid=(1, 1), colors=torch.zeros(1, 1, 3, 1, 1)),
        trajectory=SlotTrajectory(corrected=slots, predicted=slots, attention=torch.ones(1, 1, masks.shape[2], 1)),
        decoded=Decoded(reconstruction=(masks[:, :, :, None] * pictures).sum(2), pictures=pictures, masks=masks),
    )


def grey_clip(value: float = 0.5) -> Clip:
    return Clip(frames=torch.full((1, 1, 3, 4, 4), value), times=torch.zeros(1, 1))


def black_and_white() -> torch.Tensor:
    return torch.stack((torch.zeros(3, 4, 4), torch.ones(3, 4, 4)))


def test_blending_black_and_white_into_grey_pleases_the_mean_only():
    blend = output_of(torch.full((2, 4, 4), 0.5), black_and_white())
    assert PixelReconstruction()(grey_clip(), blend, progress=0.0).item() == pytest.approx(0, abs=1e-7)
    assert ExpectedError()(grey_clip(), blend, progress=0.0).item() == pytest.approx(0.25)
    assert MixtureLikelihood(sigma=0.5)(grey_clip(), blend, progress=0.0).item() == pytest.approx(0.5 * 4 * 0.75)


def test_a_sure_and_right_slot_costs_nothing():
    masks = torch.stack((torch.zeros(4, 4), torch.ones(4, 4)))
    sure = output_of(masks, black_and_white())
    for loss in (PixelReconstruction(), ExpectedError(), MixtureLikelihood()):
        assert loss(grey_clip(1.0), sure, progress=0.0).item() == pytest.approx(0, abs=1e-5)


def test_expected_error_exceeds_the_mean_s_error_by_the_variance():
    torch.manual_seed(0)
    masks, pictures = torch.randn(3, 4, 4).softmax(0), torch.rand(3, 3, 4, 4)
    output, clip = output_of(masks, pictures), grey_clip(0.3)
    mean = (masks[:, None] * pictures).sum(0)
    variance = (masks[:, None] * (pictures - mean).square()).sum(0).mean()
    difference = ExpectedError()(clip, output, progress=0.0) - PixelReconstruction()(clip, output, progress=0.0)
    torch.testing.assert_close(difference, variance)


def test_entropy_is_the_log_of_the_slots_where_nothing_is_decided():
    masks = torch.full((4, 4, 4), 0.25)
    value = MaskEntropy()(grey_clip(), output_of(masks, torch.zeros(4, 3, 4, 4)), progress=0.0)
    torch.testing.assert_close(value, torch.tensor(4.0).log())


def test_entropy_is_free_and_has_finite_gradients_where_all_is_decided():
    masks = torch.zeros(4, 4, 4)
    masks[1] = 1
    masks.requires_grad_()
    value = MaskEntropy()(grey_clip(), output_of(masks, torch.zeros(4, 3, 4, 4)), progress=0.0)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert masks.grad is not None
    assert masks.grad.isfinite().all()


def test_entropy_is_counted_per_pixel_in_nats():
    halves = torch.zeros(4, 4, 4)
    halves[:2, :1] = 0.5  # two slots share a quarter of the picture
    halves[0, 1:] = 1
    value = MaskEntropy()(grey_clip(), output_of(halves, torch.zeros(4, 3, 4, 4)), progress=0.0)
    torch.testing.assert_close(value, torch.tensor(2.0).log() / 4)


def test_sparsity_prefers_one_slot_to_two_halves_and_does_not_count_the_background():
    def price(*areas: float) -> float:
        masks = torch.stack([torch.full((4, 4), area) for area in areas])
        return MaskSparsity()(grey_clip(), output_of(masks, torch.zeros(len(areas), 3, 4, 4)), progress=1.0).item()

    assert price(0.5, 0.5, 0.0) < price(0.5, 0.25, 0.25)
    assert price(1.0, 0.0, 0.0) < 0.03


def test_sparsity_rises_along_its_ramp():
    masks = torch.stack([torch.full((4, 4), 0.5)] * 2)
    output = output_of(masks, torch.zeros(2, 3, 4, 4))
    prices = [MaskSparsity(ramp=(0.2, 0.6))(grey_clip(), output, progress=p).item() for p in (0.1, 0.4, 0.6, 1.0)]
    assert prices[0] == 0
    assert prices[1] == pytest.approx(prices[3] / 2)
    assert prices[2] == prices[3]


@pytest.mark.parametrize("ramp", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_sparsity_refuses_a_ramp_that_does_not_rise(ramp: tuple[float, float]):
    with pytest.raises(ConfigError, match="ramp"):
        MaskSparsity(ramp=ramp)


@pytest.mark.parametrize(
    "settings", [{"sigma": 0.0}, {"sigma": float("inf")}, {"edge_tolerance": -1.0}, {"edge_tolerance": float("inf")}]
)
def test_mixture_refuses_no_spread(settings: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        MixtureLikelihood(**settings)


def test_local_variance_is_zero_on_surfaces_and_that_of_the_neighbours_on_an_edge():
    frames = torch.zeros(1, 1, 3, 5, 6)
    frames[..., 3:] = 0.6
    variance = local_variance(frames)[0, 0]
    expected = torch.tensor([0, 0, 2 / 9, 2 / 9, 0, 0]) * 0.6**2  # a third of the nine pixels lies across
    torch.testing.assert_close(variance, expected.expand(5, 6), rtol=0, atol=1e-6)


def test_tolerance_leaves_surfaces_alone_and_makes_an_outline_worth_less_to_a_slot_of_its_own():
    """The middle column mixes black and white; a third slot may paint it grey and take it."""
    frames = torch.zeros(1, 1, 3, 5, 5)
    frames[..., 2], frames[..., 3:] = 0.5, 1.0
    clip = Clip(frames=frames, times=torch.zeros(1, 1))
    pictures = torch.stack([torch.full((3, 5, 5), value) for value in (0.0, 1.0, 0.5)])
    plain, specialist = torch.zeros(3, 5, 5), torch.zeros(3, 5, 5)
    plain[0, :, :3], plain[1, :, 3:] = 1, 1
    specialist[0, :, :2], specialist[2, :, 2], specialist[1, :, 3:] = 1, 1, 1

    def gain(loss: MixtureLikelihood) -> float:
        prices = [loss(clip, output_of(masks, pictures), progress=0.0).item() for masks in (plain, specialist)]
        return prices[0] - prices[1]

    assert 0 < gain(MixtureLikelihood(sigma=0.2, edge_tolerance=5.0)) < 0.1 * gain(MixtureLikelihood(sigma=0.2))
    flat, output = grey_clip(), output_of(torch.full((2, 4, 4), 0.5), black_and_white())
    values = [MixtureLikelihood(edge_tolerance=t)(flat, output, progress=0.0) for t in (0.0, 5.0)]
    torch.testing.assert_close(*values)
