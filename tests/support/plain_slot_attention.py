"""Slot attention as the paper writes it, with keys and values for every token: what fast ways are compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from slotkeeper.correctors.slot_attention import SlotAttention


def plain_slot_attention(module: SlotAttention, slots: Tensor, tokens: Tensor, num_iterations: int) -> Tensor:
    """Algorithm 1 of Locatello et al. 2020 with the weights of `module`: slots `b s d`, tokens `b n e`."""
    tokens = module.norm_tokens(tokens)
    keys, values = module.key(tokens), module.value(tokens)
    for _ in range(num_iterations):
        queries = module.query(module.norm_slots(slots))
        attention = (torch.einsum("bsd,bnd->bsn", queries, keys) * keys.shape[-1] ** -0.5).softmax(dim=1)
        weights = attention / (attention.sum(dim=2, keepdim=True) + module.epsilon)
        updates = torch.einsum("bsn,bnd->bsd", weights, values)
        slots = module.update(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        if module.mlp is not None:
            hidden = functional.layer_norm(slots, slots.shape[-1:], module.mlp[0].weight, module.mlp[0].bias)
            slots = slots + module.mlp[1](hidden)
    return slots
