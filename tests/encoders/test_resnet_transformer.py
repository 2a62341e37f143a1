"""SAVi++'s encoder: its ResNet, its transformer, and what they may look at."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from slotkeeper.encoders.resnet_transformer import ResnetTransformerEncoder
from slotkeeper.errors import ConfigError
from slotkeeper.nn.resnet import BasicBlock, SmallInputResNet
from slotkeeper.nn.self_attention import SelfAttentionBlock


def small(**settings: object) -> ResnetTransformerEncoder:
    torch.manual_seed(0)
    plain = {"width": 8, "num_blocks": (1, 1, 1), "mlp_dim": 8, "attention_dim": 8, "hidden_dim": 16}
    return ResnetTransformerEncoder(**(plain | settings)).eval()  # type: ignore[arg-type]


def test_a_wide_block_of_attention_is_torchs_encoder_layer():
    torch.manual_seed(0)
    block = SelfAttentionBlock(16, num_heads=4, attention_dim=16, hidden_dim=32)
    layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "relu", batch_first=True, norm_first=True).eval()
    own, other = block.state_dict(), layer.state_dict()
    names = {
        "self_attn.in_proj_": "queries_keys_values.",
        "self_attn.out_proj.": "merge.",
        "linear1.": "mlp.1.",
        "linear2.": "mlp.3.",
        "norm1.": "norm_attention.",
        "norm2.": "mlp.0.",
    }
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            other[theirs + kind].copy_(own[ours + kind])
    tokens = torch.randn(2, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(block(tokens), layer(tokens), rtol=1e-4, atol=1e-5)


def test_a_residual_block_begins_as_its_shortcut():
    pictures = torch.rand(2, 8, 6, 6)
    torch.testing.assert_close(BasicBlock(8, 8)(pictures), pictures)
    assert BasicBlock(8, 16, stride=2)(pictures).shape == (2, 16, 3, 3)


def test_the_resnet_34_gives_512_channels_at_an_eighth_of_the_size():
    with torch.device("meta"):
        resnet = SmallInputResNet((3, 4, 6, 3), 64)
        assert resnet(torch.empty(1, 3, 128, 128)).shape == (1, 512, 16, 16)
    convolutions = [part for part in resnet.modules() if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3)]
    assert len(convolutions) == 33  # of the 34 layers one is the classifier


def test_only_the_transformer_lets_far_tokens_look_at_each_other():
    frames = torch.rand(1, 1, 3, 128, 16, generator=torch.Generator().manual_seed(0))
    frames.requires_grad_()
    for num_layers, is_global in ((0, False), (2, True)):
        # Group norm looks at the whole picture, too: without it, only attention reaches across.
        encoder = small(num_layers=num_layers)
        for part in encoder.modules():
            for name, child in part.named_children():
                if isinstance(child, nn.GroupNorm):
                    setattr(part, name, nn.Identity())
        (gradient,) = torch.autograd.grad(encoder(frames)[0].tokens[0, 0, 0].sum(), frames)
        assert bool(gradient[..., 64:, :].any()) == is_global


def test_tokens_know_where_they_are():
    tokens = small(num_layers=0)(torch.full((1, 1, 3, 32, 32), 0.5))[0].tokens[0, 0]
    middle = tokens.unflatten(0, (8, 8))[3:5, 3:5].flatten(0, 1)
    assert torch.pdist(middle).min() > 1e-4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"num_heads": 3}, "num_heads must divide attention_dim 8, got 3"),
        ({"num_blocks": ()}, "num_blocks must be numbers from 1"),
        ({"num_layers": -1}, "num_layers must be at least 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        small(**settings)


def test_frames_that_the_stages_cannot_halve_are_refused():
    with pytest.raises(ConfigError, match="height and width that 4 divides, got 18x16"):
        small()(torch.rand(1, 1, 3, 18, 16))
