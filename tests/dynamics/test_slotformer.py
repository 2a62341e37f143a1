"""SlotFormer foresees from the latest frames alone, in whatever order the slots come."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from slotkeeper.dynamics.slotformer import SlotFormer
from slotkeeper.errors import ConfigError

BURN_IN, NUM_SLOTS, SLOT_DIM = 3, 4, 8


def small(**settings: bool) -> SlotFormer:
    torch.manual_seed(0)
    sizes = {"token_dim": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 32}
    return SlotFormer(slot_dim=SLOT_DIM, burn_in=BURN_IN, **sizes, **settings).eval()


def past(num_frames: int = BURN_IN, seed: int = 1) -> Tensor:
    return torch.randn(2, num_frames, NUM_SLOTS, SLOT_DIM, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_a_rollout_is_the_step_repeated():
    model, seen = small(), past()
    first = model(seen)
    second = model(torch.cat((seen[:, 1:], first[:, None]), dim=1))
    rolled = model.roll_out(seen, 3)
    assert rolled.shape == (2, 3, NUM_SLOTS, SLOT_DIM)
    torch.testing.assert_close(rolled[:, 0], first)
    torch.testing.assert_close(rolled[:, 1], second)
    assert torch.equal(rolled, model.roll_out(seen, 3))


@torch.no_grad()
def test_the_order_of_slots_means_nothing():
    model, seen = small(), past()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model.roll_out(seen[:, :, order], 4), model.roll_out(seen, 4)[:, :, order])


@torch.no_grad()
def test_only_the_latest_frames_count_and_their_order_does():
    model, seen = small(), past(BURN_IN + 2)
    torch.testing.assert_close(model.roll_out(seen, 2), model.roll_out(seen[:, 2:], 2))
    swapped = seen[:, [0, 1, 3, 2, 4]]
    assert (model.roll_out(seen, 1) - model.roll_out(swapped, 1)).abs().max() > 1e-3


def test_the_gradient_of_the_last_frame_flows_through_all_predicted_ones():
    model, seen = small(), past().requires_grad_()
    model.roll_out(seen, BURN_IN + 2)[:, -1].square().sum().backward()  # whose window holds predicted frames alone
    assert seen.grad is not None
    assert seen.grad.abs().sum() > 0


@torch.no_grad()
def test_with_a_residual_the_last_projection_is_a_change():
    model, seen = small(is_residual=True), past()
    nn.init.zeros_(model.predict.weight)
    nn.init.zeros_(model.predict.bias)
    torch.testing.assert_close(model.roll_out(seen, 4), seen[:, -1:].expand(-1, 4, -1, -1))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(("slot_dim", "width", "num_layers"), [(128, 128, 4), (128, 256, 4), (192, 256, 8)])
def test_it_has_as_many_weights_as_the_authors_model(slot_dim: int, width: int, num_layers: int):
    """OBJ3D, CLEVRER and Physion: two projections around PyTorch's encoder layers, MLPs four times as wide."""
    layer = nn.TransformerEncoderLayer(width, 8, 4 * width, norm_first=True, batch_first=True)
    theirs = (slot_dim * width + width) + num_layers * count(layer) + (width * slot_dim + slot_dim)
    model = SlotFormer(slot_dim=slot_dim, token_dim=width, num_layers=num_layers, num_heads=8, hidden_dim=4 * width)
    assert count(model) == theirs


def moving(batch: int, generator: torch.Generator) -> Tensor:
    """A slot of two numbers that goes straight ahead for 6 frames, in each video at its own pace."""
    start, pace = torch.randn(2, batch, 1, 1, 2, generator=generator)
    return start + 0.3 * pace * torch.arange(6)[:, None, None]


def test_it_learns_straight_motion():
    torch.manual_seed(0)
    model = SlotFormer(
        slot_dim=2, burn_in=BURN_IN, token_dim=32, num_layers=1, num_heads=4, hidden_dim=64, is_residual=True
    )
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=1e-2), torch.Generator().manual_seed(0)
    for _ in range(120):
        slots = moving(32, generator)
        loss = (model.roll_out(slots[:, :BURN_IN], 3) - slots[:, BURN_IN:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    slots = moving(64, generator)
    with torch.no_grad():
        error = (model.eval().roll_out(slots[:, :BURN_IN], 3) - slots[:, BURN_IN:]).square().mean()
    standing_still = (slots[:, BURN_IN - 1 : BURN_IN] - slots[:, BURN_IN:]).square().mean()
    assert error < 0.4 * standing_still


@pytest.mark.parametrize(
    "settings", [{"burn_in": 0}, {"num_layers": 0}, {"token_dim": 20}, {"num_heads": 0}, {"hidden_dim": -1}]
)
def test_settings_that_make_no_sense(settings: dict[str, int]):
    with pytest.raises(ConfigError, match=r"dynamics\."):
        SlotFormer(slot_dim=SLOT_DIM, **settings)
