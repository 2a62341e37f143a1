"""Losses on flow and depth: what they compare with what."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace

import pytest
import torch
from tiny_model import model_with

from slotkeeper.build import build_losses, build_model
from slotkeeper.config import load_config
from slotkeeper.errors import ConfigError, DataError
from slotkeeper.losses.motion_and_depth import DepthReconstruction, FlowMixture, FlowReconstruction
from slotkeeper.nn.colors import flow_colors
from slotkeeper.types import Clip, Decoded, Target, VideoOutput

FRAMES = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
FLOW = torch.randn(2, 3, 2, 16, 16, generator=torch.Generator().manual_seed(1))
DEPTH = 10 * torch.rand(2, 3, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def clip(flow: torch.Tensor | None = FLOW, depth: torch.Tensor | None = DEPTH) -> Clip:
    return Clip(frames=FRAMES, times=torch.zeros(2, 3), flow=flow, depth=depth)


def output_of(rebuilt: torch.Tensor, target: Target) -> VideoOutput:
    with torch.no_grad():
        seen = model_with().eval()(FRAMES)
    decoded = Decoded(reconstruction=rebuilt, pictures=None, masks=seen.decoded.masks, target=target)
    return VideoOutput(features=seen.features, trajectory=seen.trajectory, decoded=decoded)


@pytest.mark.parametrize("direction", range(0, 360, 25))
@pytest.mark.parametrize("speed", [0.2, 0.9, 3.0])
def test_a_flows_hue_is_its_direction_and_its_saturation_its_speed(direction: int, speed: float):
    angle = math.radians(direction)
    flow = torch.tensor([math.cos(angle), math.sin(angle)])[None, None, :, None, None] * speed
    colors = flow_colors(flow.expand(1, 1, 2, 30, 40), full_speed=0.02)  # full at 1 of 50 pixels
    hue = (math.atan2(math.sin(angle), math.cos(angle)) / math.pi + 1) / 2
    expected = colorsys.hsv_to_rgb(hue, min(1.0, speed), 1.0)
    assert colors[0, 0, :, 7, 9].tolist() == pytest.approx(expected, abs=1e-5)


def test_what_rests_is_white():
    assert torch.equal(flow_colors(torch.zeros(1, 1, 2, 4, 4), 0.02), torch.ones(1, 1, 3, 4, 4))


def test_losses_are_squared_errors_of_their_part():
    both = torch.cat((flow_colors(FLOW, 0.02) + 0.1, (1 + DEPTH).log() - 0.2), dim=2)
    output = output_of(both, "flow_and_depth")
    assert FlowReconstruction()(clip(), output, progress=0.0).item() == pytest.approx(0.01, rel=1e-4)
    assert DepthReconstruction()(clip(), output, progress=0.0).item() == pytest.approx(0.04, rel=1e-4)
    alone = output_of(both[:, :, 3:], "depth")
    assert DepthReconstruction()(clip(), alone, progress=0.0).item() == pytest.approx(0.04, rel=1e-4)


@pytest.mark.parametrize("unknown", [0.0, 3e-4])  # as flow of up to 20 pixels is kept in 16 bits
def test_a_frame_of_which_no_flow_is_known_teaches_nothing(unknown: float):
    flow = FLOW.clone()
    flow[:, 2] = unknown
    rebuilt = flow_colors(FLOW, 0.02)
    rebuilt[:, :2] += 0.3
    rebuilt.requires_grad_()
    loss = FlowReconstruction()(clip(flow), output_of(rebuilt, "flow"), progress=0.0)
    assert loss.item() == pytest.approx(0.09 * 2 / 3, rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, rebuilt)
    assert gradient[:, 2].abs().max() == 0 < gradient[:, :2].abs().min()


def test_one_slot_explains_a_pixels_flow():
    """Two wrong colours that mix to the right one cost as much as one wrong colour alone."""
    colors = flow_colors(FLOW, 0.02)[:, :, None]
    depths = torch.zeros(2, 3, 2, 1, 16, 16)
    pictures = torch.cat((torch.cat((colors + 0.3, colors - 0.3), dim=2), depths), dim=3)
    output = output_of(torch.zeros(2, 3, 4, 16, 16), "flow_and_depth")
    for share in (0.5, 1.0):
        masks = torch.stack((torch.full((2, 3, 16, 16), share), torch.full((2, 3, 16, 16), 1 - share)), dim=2)
        drawn = replace(output, decoded=replace(output.decoded, pictures=pictures, masks=masks))
        loss = FlowMixture(sigma=0.3)(clip(), drawn, progress=0.0)
        assert loss.item() == pytest.approx(3 * 0.5, rel=1e-4)


def test_videos_without_flow_or_depth_are_refused():
    output = output_of(torch.zeros(2, 3, 4, 16, 16), "flow_and_depth")
    with pytest.raises(DataError, match="the loss 'flow_mixture' needs videos with flow"):
        FlowMixture()(clip(flow=None), output, progress=0.0)
    with pytest.raises(ConfigError, match="sigma of loss 'flow_mixture' must be positive and finite, got -1"):
        FlowMixture(sigma=-1.0)
    with pytest.raises(DataError, match="needs videos with flow"):
        FlowReconstruction()(clip(flow=None), output, progress=0.0)
    with pytest.raises(DataError, match="needs videos with depth"):
        DepthReconstruction()(clip(depth=None), output, progress=0.0)
    with pytest.raises(ConfigError, match="full_speed"):
        FlowReconstruction(full_speed=0.0)


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        ("flow_reconstruction", "frames", "compares flow, but the decoder rebuilds frames"),
        ("reconstruction", "flow_and_depth", "compares frames, but the decoder rebuilds flow_and_depth"),
        ("depth_reconstruction", "flow_and_depth", None),
    ],
)
def test_a_loss_must_find_its_target_among_what_is_rebuilt(loss: str, target: str, expected: str | None):
    decoder = f"model.decoder={{name: broadcast_light, width: 8, target: {target}}}"
    config = load_config("configs/smoke.yaml", [decoder, f"losses=[{{name: {loss}}}]"])
    model = build_model(config)
    if expected is None:
        assert build_losses(config, model)
    else:
        with pytest.raises(ConfigError, match=expected):
            build_losses(config, model)
