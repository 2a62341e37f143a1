"""RNN-EM against expectation maximization written out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from one_frame import frame_of

from slotkeeper.correctors.nem import NemCorrector, noisy, responsibilities, weighted_residuals
from slotkeeper.decoders.nem import NemDecoder
from slotkeeper.encoders.pixels import PixelEncoder
from slotkeeper.errors import ConfigError
from slotkeeper.initializers.gaussian import GaussianInitializer
from slotkeeper.losses.nem import NemLoss
from slotkeeper.model import SlotModel
from slotkeeper.noise import VideoNoise
from slotkeeper.predictors.identity import IdentityPredictor
from slotkeeper.types import Clip, PlacedSlots

SIGMA = 0.5
VALUES = [0.1, 0.2, 0.35, 0.7, 0.8, 0.95]
STARTS = [0.3, 0.6]


def make(**settings: Any) -> NemCorrector:
    torch.manual_seed(0)
    sizes = {"slot_dim": 6, "feature_dim": 3, "width": 4, "hidden_dim": 16, "base_grid": 4}
    return NemCorrector(**(sizes | settings))


def closed_form(values: list[float], means: list[float]) -> tuple[list[list[float]], list[float]]:
    """Responsibilities and new means of a one-dimensional mixture with equal priors and fixed sigma."""
    gamma = []
    for mean in means:
        densities = [math.exp(-((value - mean) ** 2) / (2 * SIGMA**2)) for value in values]
        gamma.append(densities)
    totals = [sum(column) for column in zip(*gamma, strict=True)]
    gamma = [[share / total for share, total in zip(row, totals, strict=True)] for row in gamma]
    moved = [sum(share * value for share, value in zip(row, values, strict=True)) / sum(row) for row in gamma]
    return gamma, moved


def one_dimensional() -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens `1 6 1` and constant means `1 2 6 1`."""
    return torch.tensor(VALUES)[None, :, None], torch.tensor(STARTS)[None, :, None, None].expand(1, 2, 6, 1)


def test_one_em_step_is_the_closed_form_of_a_mixture_of_normal_distributions():
    tokens, means = one_dimensional()
    gamma = responsibilities(tokens, means, SIGMA)
    expected_gamma, expected_means = closed_form(VALUES, STARTS)
    torch.testing.assert_close(gamma[0], torch.tensor(expected_gamma))
    residuals = weighted_residuals(tokens, means, gamma)
    moved = torch.tensor(STARTS) - residuals.sum((2, 3))[0] / gamma.sum(2)[0]
    torch.testing.assert_close(moved, torch.tensor(expected_means))


def test_what_the_m_step_is_given_is_the_gradient_of_the_expected_likelihood():
    """The paper's gradient M-step: dQ/dtheta is the sum of gamma (psi - x) dpsi/dtheta, here over minus sigma²."""
    torch.manual_seed(0)
    tokens, means = torch.rand(2, 5, 3), torch.rand(2, 4, 5, 3, requires_grad=True)
    gamma = responsibilities(tokens, means, SIGMA).detach()
    expected = -0.5 / SIGMA**2 * (gamma[..., None] * (means - tokens[:, None]).square()).sum()
    expected.backward()
    torch.testing.assert_close(means.grad, -weighted_residuals(tokens, means.detach(), gamma) / SIGMA**2)


class _Plain(NemCorrector):
    """Slots are the means themselves and climb the gradient: N-EM with f the identity."""

    def paint(self, slots: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        return slots[:, :, None].expand(-1, -1, grid[0] * grid[1], -1)

    def update(self, residuals: torch.Tensor, slots: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        return slots - 0.05 * residuals.sum(2)


def test_iterations_never_lower_the_likelihood_and_find_two_colours():
    torch.manual_seed(0)
    tokens = torch.cat((0.2 + 0.02 * torch.randn(1, 8, 3), 0.8 + 0.02 * torch.randn(1, 8, 3)), dim=1)
    corrector = _Plain(slot_dim=3, feature_dim=3, sigma=0.2, num_iterations_next=1).eval()
    placed = PlacedSlots(slots=torch.tensor([[[0.45, 0.5, 0.5], [0.55, 0.5, 0.5]]]))
    likelihoods = []
    for _ in range(60):
        placed, gamma = corrector(placed, frame_of(tokens, (4, 4)), is_first=False)
        squares = (tokens[:, None] - placed.means).square().sum(-1)
        likelihoods.append((-0.5 / 0.2**2 * squares).logsumexp(1).sum().item())
    assert all(after >= before - 1e-5 for before, after in pairwise(likelihoods))
    torch.testing.assert_close(placed.slots[0, 0], tokens[0, :8].mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(placed.slots[0, 1], tokens[0, 8:].mean(0), atol=0.01, rtol=0)
    assert gamma[0, 0, :8].min() > 0.99


def test_equals_the_step_written_out_and_hands_on_what_was_expected_before_the_frame():
    corrector = make(noise_share=0.0)
    slots, tokens = torch.randn(2, 3, 6), torch.rand(2, 48, 3)
    placed, gamma = corrector(PlacedSlots(slots=slots), frame_of(tokens, (6, 8)), is_first=False)
    drawn = corrector.painter(slots.flatten(0, 1), (6, 8)).unflatten(0, (2, 3)).flatten(3).transpose(2, 3)
    log_density = torch.distributions.Normal(drawn, corrector.sigma).log_prob(tokens[:, None]).sum(-1)
    torch.testing.assert_close(gamma, log_density.softmax(1))
    torch.testing.assert_close(placed.means, drawn)
    picture = (gamma[..., None] * (drawn - tokens[:, None])).transpose(2, 3).unflatten(3, (6, 8))
    heard = torch.cat((corrector.reader(picture.flatten(0, 1)), slots.flatten(0, 1)), 1)
    torch.testing.assert_close(placed.slots.flatten(0, 1), torch.sigmoid(corrector.recurrent(heard)))


def test_first_frame_has_its_own_number_of_iterations():
    corrector = make(num_iterations_first=2, num_iterations_next=1).eval()
    slots, tokens = PlacedSlots(slots=torch.randn(1, 3, 6)), torch.rand(1, 16, 3)
    once, _ = corrector(slots, frame_of(tokens, (4, 4)), is_first=False)
    twice, _ = corrector(once, frame_of(tokens, (4, 4)), is_first=False)
    first, _ = corrector(slots, frame_of(tokens, (4, 4)), is_first=True)
    torch.testing.assert_close(first.slots, twice.slots)


@pytest.mark.parametrize("has_gamma_gradient", [True, False])
def test_gradients_flow_through_the_shares_only_if_asked(has_gamma_gradient: bool):
    _, gamma = make(has_gamma_gradient=has_gamma_gradient)(
        PlacedSlots(slots=torch.randn(1, 3, 6)), frame_of(torch.rand(1, 16, 3), (4, 4)), is_first=True
    )
    assert gamma.requires_grad == has_gamma_gradient
    torch.testing.assert_close(gamma.sum(1), torch.ones(1, 16))


def test_noise_is_for_training_alone_and_replaces_the_named_share():
    tokens = torch.full((1, 4000, 3), 5.0)
    share = (noisy(tokens, 0.2, VideoNoise([0])) != 5.0).float().mean().item()
    assert share == pytest.approx(0.2, abs=0.02)
    corrector = make(noise_share=0.5)
    slots, tokens = PlacedSlots(slots=torch.randn(1, 3, 6)), torch.rand(1, 16, 3)
    trained, gamma = corrector.train()(slots, frame_of(tokens, (4, 4)), is_first=False)
    plain, plain_gamma = corrector.eval()(slots, frame_of(tokens, (4, 4)), is_first=False)
    assert not torch.equal(trained.slots, plain.slots)
    assert torch.equal(gamma, plain_gamma)  # the E-step sees the frame as it is


def make_model(**settings: Any) -> SlotModel:
    return SlotModel(
        encoder=PixelEncoder(stride=2),
        initializer=GaussianInitializer(num_slots=3, slot_dim=16),
        corrector=make(slot_dim=16, **settings),
        predictor=IdentityPredictor(),
        decoder=NemDecoder(means_dim=3),
    )


def squares(time: int = 5) -> torch.Tensor:
    """A red and a blue square that move apart on black."""
    frames = torch.zeros(2, time, 3, 16, 16)
    for index in range(time):
        frames[0, index, 0, 2:8, index : index + 6] = 1.0
        frames[0, index, 2, 8:14, 10 - index : 16 - index] = 1.0
    frames[1] = frames[0].flip(-1)
    return frames


def test_pictures_of_a_frame_are_expected_before_it_is_seen():
    model = make_model().eval()
    frames = squares()
    other = frames.clone()
    other[:, 3] = 0.5
    with torch.no_grad():
        first, second = model(frames).decoded, model(other).decoded
    assert torch.equal(first.pictures[:, :4], second.pictures[:, :4])
    assert not torch.equal(first.pictures[:, 4], second.pictures[:, 4])
    assert not torch.equal(first.masks[:, 3], second.masks[:, 3])


def test_masks_are_the_responsibilities_where_tokens_are_pixels():
    model = make_model().eval()
    model.encoder.stride = 1
    with torch.no_grad():
        output = model(squares())
    torch.testing.assert_close(output.decoded.masks.flatten(3), output.trajectory.attention)
    torch.testing.assert_close(output.decoded.pictures.flatten(4).transpose(3, 4), output.trajectory.means)
    torch.testing.assert_close(output.decoded.masks.sum(2), torch.ones(2, 5, 16, 16))


def test_the_loss_falls_in_a_short_training():
    model, loss, frames = make_model(sigma=0.1).train(), NemLoss(), squares()
    clip = Clip(frames=frames, times=torch.zeros(frames.shape[:2]))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    values = []
    for step in range(60):
        output = model(frames, torch.Generator().manual_seed(step))
        value = loss(clip, output, progress=0.0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    still = 0.5 * frames.square().sum(2).mean().item()  # the loss of slots that draw nothing
    assert sum(values[-5:]) / 5 < 0.95 * still < values[0]


@pytest.mark.parametrize(
    "settings",
    [{"sigma": 0.0}, {"num_iterations_first": 0}, {"num_iterations_next": 0}, {"base_grid": 0}, {"noise_share": 1.0}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ConfigError, match=f"corrector.{next(iter(settings))}"):
        make(**settings)


def test_too_few_tokens_and_the_wrong_partners_are_refused():
    with pytest.raises(ConfigError, match="at least 4x4 tokens"):
        make()(PlacedSlots(slots=torch.randn(1, 2, 6)), frame_of(torch.rand(1, 8, 3), (2, 4)), is_first=True)
    with pytest.raises(ConfigError, match=r"set corrector\.name to nem and encoder\.name to pixels.*draws nothing"):
        NemDecoder(means_dim=0)
    with pytest.raises(ConfigError, match="draws 64 values per token"):
        NemDecoder(means_dim=64)
