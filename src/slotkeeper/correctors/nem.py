"""RNN-EM: each slot is a component of a mixture over pixels (Greff et al. 2017, arXiv 1708.03498)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from slotkeeper.errors import ConfigError
from slotkeeper.interfaces import MAX_ITERATIONS, Corrector
from slotkeeper.noise import VideoNoise, given_or_fresh
from slotkeeper.types import Features, PlacedSlots

_FAINT = 0.3
"""How strongly slots draw at first: with 1, untrained iterations magnify differences, down to those of rounding."""


class NemCorrector(Corrector):
    """Slots draw what they expect; tokens go to the slots whose drawing fits; a recurrent network learns from the rest.

    One iteration, with the paper's letters (its section 3), theta a slot and x a token:
    psi = f(theta), the means that the slot draws (`paint`); gamma, each slot's share of each token by the likelihood
    of x under a normal distribution around psi (E-step, `responsibilities`); theta = RNN(gamma (psi - x), theta)
    (RNN-EM's M-step, `weighted_residuals` and `update`). Returned are gamma, as attention, and psi of the last E-step:
    on all frames but the first, with `num_iterations_next` 1, psi is drawn before the frame was seen, so a loss on psi
    trains to predict the next frame, as there. With the encoder `pixels` tokens are RGB, which the decoder `nem` needs.

    sigma: standard deviation in the E-step, 0.25 in the authors' code. noise_share: in training, tokens that the M-step
    (never the E-step) sees replaced by uniform noise.
    has_gamma_gradient: let gradients flow through gamma; the authors' code doesn't, on video. Deviations: normal
    distributions only (the paper's binary pictures have Bernoulli ones), over all colours together; slots start from
    the initializer and gamma from what they draw (the authors' start at zero, with a random gamma), so the first frame
    has several iterations; the networks of the "flying shapes" experiment read and draw through a grid of `base_grid`²
    cells, so that frames may have any size; no layer norm after the RNN. The gradient M-step of plain N-EM is left out.
    The M-step learns through later iterations only: with `model.bptt: detach` and one iteration it never would.
    """

    def __init__(
        self,
        *,
        slot_dim: int,
        feature_dim: int,
        num_iterations_first: int = 5,
        num_iterations_next: int = 1,
        sigma: float = 0.25,
        width: int = 32,
        hidden_dim: int = 512,
        base_grid: int = 8,
        noise_share: float = 0.2,
        has_gamma_gradient: bool = False,
    ):
        super().__init__()
        counts = {
            "num_iterations_first": num_iterations_first,
            "num_iterations_next": num_iterations_next,
            "width": width,
            "hidden_dim": hidden_dim,
            "base_grid": base_grid,
        }
        for name, count in counts.items():
            if count < 1:
                raise ConfigError(f"corrector.{name} must be at least 1, got {count}")
        if max(num_iterations_first, num_iterations_next) > MAX_ITERATIONS:
            raise ConfigError(
                f"corrector.num_iterations_first and num_iterations_next must be at most {MAX_ITERATIONS}"
            )
        if not sigma > 0:
            raise ConfigError(f"corrector.sigma must be positive, got {sigma}")
        if not 0 <= noise_share < 1:
            raise ConfigError(f"corrector.noise_share must be at least 0 and below 1, got {noise_share}")
        self.means_dim = feature_dim
        self.num_iterations_first = num_iterations_first
        self.num_iterations_next = num_iterations_next
        self.sigma = sigma
        self.noise_share = noise_share
        self.has_gamma_gradient = has_gamma_gradient
        self.reader = GridReader(feature_dim, width, hidden_dim, base_grid)
        self.painter = GridPainter(slot_dim, width, hidden_dim, base_grid, feature_dim)
        self.recurrent = nn.Linear(hidden_dim + slot_dim, slot_dim)
        self.reader.apply(draw_xavier)
        draw_xavier(self.recurrent)

    def forward(
        self, slots: PlacedSlots, frame: Features, *, is_first: bool, noise: VideoNoise | None = None
    ) -> tuple[PlacedSlots, Float[Tensor, "b s n"]]:
        """Iterate; see the class. The returned slots hold the means of the last E-step.

        Raises:
            ConfigError: there are fewer than 4 x 4 tokens.
        """
        tokens, grid = frame.tokens[:, 0], frame.grid
        if min(grid) < 4:
            raise ConfigError(f"the nem corrector needs at least 4x4 tokens of a frame, got {grid[0]}x{grid[1]}")
        vectors = slots.slots
        seen = tokens
        if self.training and self.noise_share:
            seen = noisy(tokens, self.noise_share, given_or_fresh(noise, len(tokens)))
        for _ in range(self.num_iterations_first if is_first else self.num_iterations_next):
            means = self.paint(vectors, grid)
            gamma = responsibilities(tokens, means, self.sigma)
            if not self.has_gamma_gradient:
                gamma = gamma.detach()
            vectors = self.update(weighted_residuals(seen, means, gamma), vectors, grid)
        return PlacedSlots(slots=vectors, means=means), gamma

    def paint(self, slots: Float[Tensor, "b s d"], grid: tuple[int, int]) -> Float[Tensor, "b s n e"]:
        """Each slot's expectation of each token (psi), in float32."""
        drawn: Tensor = self.painter(slots.flatten(0, 1), grid).float()
        return rearrange(drawn, "(b s) e h w -> b s (h w) e", b=len(slots))

    def update(
        self, residuals: Float[Tensor, "b s n e"], slots: Float[Tensor, "b s d"], grid: tuple[int, int]
    ) -> Float[Tensor, "b s d"]:
        """The M-step by one step of a plain recurrent network with sigmoid units."""
        read = self.reader(rearrange(residuals, "b s (h w) e -> (b s) e h w", h=grid[0]))
        updated: Tensor = self.recurrent(torch.cat((read, slots.flatten(0, 1)), dim=1)).sigmoid()
        return updated.view_as(slots)


class GridReader(nn.Module):
    """Two strided convolutions, averages over `base`² cells, one linear layer: a picture of any size to a vector."""

    def __init__(self, input_dim: int, width: int, output_dim: int, base: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(input_dim, width, 4, stride=2, padding=1),
            nn.GroupNorm(1, width),
            nn.ELU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.ELU(),
            nn.AdaptiveAvgPool2d(base),
            nn.Flatten(),
            nn.Linear(2 * width * base**2, output_dim),
            nn.LayerNorm(output_dim),
            nn.ELU(),
        )

    def forward(self, picture: Float[Tensor, "m e h w"]) -> Float[Tensor, "m d"]:
        """Read a picture of at least 4 x 4."""
        read: Tensor = self.layers(picture)
        return read


class GridPainter(nn.Module):
    """Two linear layers to `base`² cells, then twice enlarged and convolved: a vector to a picture of any size."""

    def __init__(self, input_dim: int, width: int, hidden_dim: int, base: int, output_dim: int):
        super().__init__()
        cells = 2 * width * base**2
        self.cells = nn.Sequential(
            nn.Linear(input_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, cells),
            nn.LayerNorm(cells),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, base, base)),
        )
        self.middle = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.GroupNorm(1, width), nn.ReLU())
        self.last = nn.Conv2d(width, output_dim, 3, padding=1)
        with torch.no_grad():
            self.last.weight *= _FAINT

    def forward(self, vectors: Float[Tensor, "m d"], size: tuple[int, int]) -> Float[Tensor, "m e h w"]:
        """Draw at `size`; not bounded, as normal distributions' means in the authors' code."""
        half = (-(-size[0] // 2), -(-size[1] // 2))
        drawn = self.middle(functional.interpolate(self.cells(vectors), half, mode="nearest"))
        painted: Tensor = self.last(functional.interpolate(drawn, size, mode="nearest"))
        return painted


def draw_xavier(module: nn.Module) -> None:
    """Weights as the authors' library draws them: wider than PyTorch's, without which slots stay alike far longer."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


def responsibilities(
    tokens: Float[Tensor, "b n e"], means: Float[Tensor, "b s n e"], sigma: float
) -> Float[Tensor, "b s n"]:
    """The E-step: P(slot | token) for equal priors and normal distributions; float32, sums to 1 over slots."""
    squares = (tokens[:, None].float() - means.float()).square().sum(-1)
    return (-0.5 / sigma**2 * squares).softmax(dim=1)


def weighted_residuals(
    tokens: Float[Tensor, "b n e"], means: Float[Tensor, "b s n e"], gamma: Float[Tensor, "b s n"]
) -> Float[Tensor, "b s n e"]:
    """What the M-step learns of a frame, gamma (psi - x): the slope of the expected likelihood, up to a factor."""
    return gamma[..., None] * (means - tokens[:, None])


def noisy(tokens: Float[Tensor, "b n e"], share: float, noise: VideoNoise) -> Float[Tensor, "b n e"]:
    """Replace this share of all values by uniform noise in [0, 1]."""
    is_noise = noise.uniform(*tokens.shape[1:]).to(tokens.device) < share
    return torch.where(is_noise, noise.uniform(*tokens.shape[1:]).to(tokens), tokens)
