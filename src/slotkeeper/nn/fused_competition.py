"""The competition of slots for tokens as two Triton kernels: each pass reads the tokens once, and keeps no logits.

For NVIDIA GPUs, where PyTorch brings Triton along; nothing else needs it. The plain formulas are in
`slotkeeper.nn.competition`.
"""

from __future__ import annotations

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

_LEAST_SIDE = 16  # of a matrix product in Triton
_LARGEST_WIDTH, _LARGEST_SLOTS = 512, 128
_BLOCK_VALUES = 1 << 14
"""Of the tokens that one program holds at a time."""


def is_fusible(probes: Float[Tensor, "b s e"]) -> bool:
    """Whether the kernels can hold all slots and a token's whole width at once."""
    return probes.shape[2] <= _LARGEST_WIDTH and probes.shape[1] <= _LARGEST_SLOTS


def fused_competition(
    probes: Float[Tensor, "b s e"], tokens: Float[Tensor, "b n e"], expectation: Float[Tensor, "b s _"] | None
) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b s 1"], Float[Tensor, "b s e"]]:
    """Attention, its sum over tokens, and the tokens' sum weighted by it; in float32."""
    launch = _Launch(probes, tokens)
    attention = launch.empty(launch.num_slots, launch.num_tokens)
    masses = launch.empty(launch.num_blocks, launch.num_slots)
    sums = launch.empty(launch.num_blocks, launch.num_slots, launch.width)
    expected = None if expectation is None else expectation.expand(launch.batch, launch.num_slots, launch.num_tokens)
    with torch.cuda.device_of(tokens):  # where Triton starts a kernel, else the current one
        _compete_kernel[launch.grid](
            probes.contiguous(),
            tokens,
            attention if expected is None else expected,
            attention,
            masses,
            sums,
            *launch.sizes,
            *tokens.stride(),
            *((0, 0, 0) if expected is None else expected.stride()),
            has_expectation=expected is not None,
            **launch.blocks,
        )
    return attention, masses.sum(1)[..., None], sums.sum(1)


def fused_pull(
    pulled: Float[Tensor, "b s e"],
    spared: Float[Tensor, "b s 1"],
    tokens: Float[Tensor, "b n e"],
    attention: Float[Tensor, "b s n"],
    attention_gradient: Float[Tensor, "b s n"] | None,
) -> tuple[Float[Tensor, "b s n"], Float[Tensor, "b s e"]]:
    """The logits' gradient, in the tokens' precision, and the probes', in float32. Arguments: see `pull`."""
    launch = _Launch(pulled, tokens)
    gradient = launch.empty(launch.num_slots, launch.num_tokens, dtype=tokens.dtype)
    sums = launch.empty(launch.num_blocks, launch.num_slots, launch.width)
    with torch.cuda.device_of(tokens):  # where Triton starts a kernel, else the current one
        _pull_kernel[launch.grid](
            pulled.contiguous(),
            spared.contiguous(),
            tokens,
            attention.contiguous(),
            attention if attention_gradient is None else attention_gradient.contiguous(),
            gradient,
            sums,
            *launch.sizes,
            *tokens.stride(),
            has_gradient=attention_gradient is not None,
            **launch.blocks,
        )
    return gradient, sums.sum(1)


class _Launch:
    """Sizes of a launch: one program for each video and block of tokens."""

    def __init__(self, probes: Tensor, tokens: Tensor):
        self.batch, self.num_slots, self.width = probes.shape
        self.num_tokens, self.device = tokens.shape[1], tokens.device
        padded_width = max(_LEAST_SIDE, triton.next_power_of_2(self.width))
        block = max(_LEAST_SIDE, min(128, _BLOCK_VALUES // padded_width))
        self.num_blocks = triton.cdiv(self.num_tokens, block)
        self.grid = (self.batch, self.num_blocks)
        self.sizes = (self.num_tokens, self.num_slots, self.width, self.num_blocks)
        self.blocks = {
            "block_size": block,
            "padded_slots": max(_LEAST_SIDE, triton.next_power_of_2(self.num_slots)),
            "padded_width": padded_width,
        }

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(self.batch, *shape, dtype=dtype, device=self.device)


@triton.jit
@no_type_check
def _block(
    tokens: Any,
    video: Any,
    places: Any,
    num_tokens: Any,
    width: Any,
    video_stride: Any,
    token_stride: Any,
    value_stride: Any,
    padded_width: tl.constexpr,
) -> Any:
    """One block of tokens, zeros beyond the last one."""
    values = tl.arange(0, padded_width)
    return tl.load(
        tokens + video * video_stride + places[:, None] * token_stride + values[None, :] * value_stride,
        mask=(places[:, None] < num_tokens) & (values[None, :] < width),
        other=0,
    )


@triton.jit
@no_type_check
def _of_slots(
    matrix: Any, video: Any, num_slots: Any, width: Any, padded_slots: tl.constexpr, padded_width: tl.constexpr
) -> Any:
    """A row for each slot, zeros beyond the last one."""
    slots, values = tl.arange(0, padded_slots), tl.arange(0, padded_width)
    return tl.load(
        matrix + (video * num_slots + slots[:, None]) * width + values[None, :],
        mask=(slots[:, None] < num_slots) & (values[None, :] < width),
        other=0,
    )


@triton.jit
@no_type_check
def _store_sums(
    sums: Any, part: Any, row: Any, num_slots: Any, width: Any, padded_slots: tl.constexpr, padded_width: tl.constexpr
) -> None:
    slots, values = tl.arange(0, padded_slots), tl.arange(0, padded_width)
    tl.store(
        sums + (row * num_slots + slots[:, None]) * width + values[None, :],
        part,
        mask=(slots[:, None] < num_slots) & (values[None, :] < width),
    )


@triton.jit
@no_type_check
def _compete_kernel(
    probes: Any,
    tokens: Any,
    expectation: Any,
    attention: Any,
    masses: Any,
    sums: Any,
    num_tokens: Any,
    num_slots: Any,
    width: Any,
    num_blocks: Any,
    video_stride: Any,
    token_stride: Any,
    value_stride: Any,
    expected_video_stride: Any,
    expected_slot_stride: Any,
    expected_token_stride: Any,
    has_expectation: tl.constexpr,
    block_size: tl.constexpr,
    padded_slots: tl.constexpr,
    padded_width: tl.constexpr,
) -> None:
    video, block = tl.program_id(0).to(tl.int64), tl.program_id(1)  # a batch of clips can outgrow 32 bits
    places, slots = block * block_size + tl.arange(0, block_size), tl.arange(0, padded_slots)
    is_real = (places[:, None] < num_tokens) & (slots[None, :] < num_slots)
    seen = _block(tokens, video, places, num_tokens, width, video_stride, token_stride, value_stride, padded_width)
    wanted = _of_slots(probes, video, num_slots, width, padded_slots, padded_width)
    logits = tl.dot(seen, tl.trans(wanted), input_precision="ieee")
    if has_expectation:
        logits += tl.load(
            expectation
            + video * expected_video_stride
            + slots[None, :] * expected_slot_stride
            + places[:, None] * expected_token_stride,
            mask=is_real,
            other=0,
        )
    logits = tl.where(slots[None, :] < num_slots, logits, float("-inf"))
    weights = tl.exp(logits - tl.max(logits, axis=1)[:, None])
    weights = weights / tl.sum(weights, axis=1)[:, None]
    tl.store(attention + (video * num_slots + slots[None, :]) * num_tokens + places[:, None], weights, mask=is_real)
    weights = tl.where(is_real, weights, 0)
    row = video * num_blocks + block
    tl.store(masses + row * num_slots + slots, tl.sum(weights, axis=0), mask=slots < num_slots)
    part = tl.dot(tl.trans(weights.to(seen.dtype)), seen, input_precision="ieee")
    _store_sums(sums, part, row, num_slots, width, padded_slots, padded_width)


@triton.jit
@no_type_check
def _pull_kernel(
    pulled: Any,
    spared: Any,
    tokens: Any,
    attention: Any,
    attention_gradient: Any,
    gradient: Any,
    sums: Any,
    num_tokens: Any,
    num_slots: Any,
    width: Any,
    num_blocks: Any,
    video_stride: Any,
    token_stride: Any,
    value_stride: Any,
    has_gradient: tl.constexpr,
    block_size: tl.constexpr,
    padded_slots: tl.constexpr,
    padded_width: tl.constexpr,
) -> None:
    video, block = tl.program_id(0).to(tl.int64), tl.program_id(1)  # a batch of clips can outgrow 32 bits
    places, slots = block * block_size + tl.arange(0, block_size), tl.arange(0, padded_slots)
    is_real = (places[:, None] < num_tokens) & (slots[None, :] < num_slots)
    here = (video * num_slots + slots[None, :]) * num_tokens + places[:, None]
    seen = _block(tokens, video, places, num_tokens, width, video_stride, token_stride, value_stride, padded_width)
    pulls = _of_slots(pulled, video, num_slots, width, padded_slots, padded_width)
    weights = tl.load(attention + here, mask=is_real, other=0)
    change = tl.dot(seen, tl.trans(pulls), input_precision="ieee")
    change -= tl.load(spared + video * num_slots + slots, mask=slots < num_slots, other=0)[None, :]
    if has_gradient:
        change += tl.load(attention_gradient + here, mask=is_real, other=0)
    change = weights * change
    change = (change - weights * tl.sum(change, axis=1)[:, None]).to(seen.dtype)
    tl.store(gradient + here, change, mask=is_real)
    part = tl.dot(tl.trans(change), seen, input_precision="ieee")
    _store_sums(sums, part, video * num_blocks + block, num_slots, width, padded_slots, padded_width)
