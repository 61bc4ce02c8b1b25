"""Attention weights as a graph of gradients has them, out of layers that else compute them fused and drop them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

Keep = Callable[[torch.Tensor], torch.Tensor]


def keeps(attention: nn.Module) -> bool:
    """Whether the weights of an attention layer can be had: torch's on one kind of token, and timm's of all kinds that
    can compute unfused.
    """
    if isinstance(attention, nn.MultiheadAttention):
        plain = attention.in_proj_weight is not None and attention.bias_k is None and not attention.add_zero_attn
        return plain and attention.batch_first
    return hasattr(attention, "fused_attn") and isinstance(getattr(attention, "attn_drop", None), nn.Module)


@contextmanager
def weights_kept(attentions: Sequence[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """A list that holds the weights of each layer, (b, H, T, T), in order, once they have run inside.

    The weights of the first layer are where gradients end: what lies before leaves no graph. The layers compute the
    same functions as ever, and are as they were on leaving.
    """
    kept: list[torch.Tensor] = []

    def keep(weights: torch.Tensor) -> torch.Tensor:
        weights = weights if weights.requires_grad else weights.detach().requires_grad_()
        kept.append(weights)
        return weights

    with ExitStack() as stack:
        for attention in attentions:
            of_torch = isinstance(attention, nn.MultiheadAttention)
            stack.enter_context(_explicit(attention, keep) if of_torch else _unfused(attention, keep))
        yield kept


@contextmanager
def _explicit(attention: Any, keep: Keep) -> Iterator[None]:
    """Torch's layer computes through a function that hands out weights only as a copy beside the graph."""

    def forward(tokens: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        # Masks are not looked at: image towers have none.
        heads = attention.num_heads
        mixed = linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = mixed.reshape(*tokens.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
        weights = keep(torch.softmax((query * query.shape[-1] ** -0.5) @ key.mT, dim=-1))
        return attention.out_proj((weights @ value).transpose(1, 2).flatten(2)), None

    # On the instance: parameters keep their names, by which `functional_call` puts others in their place.
    attention.forward = forward
    try:
        yield
    finally:
        del attention.forward


@contextmanager
def _unfused(attention: Any, keep: Keep) -> Iterator[None]:
    """Layers of timm put their weights through a dropout, which does nothing in evaluation mode."""
    fused = attention.fused_attn
    attention.fused_attn = False
    hook = attention.attn_drop.register_forward_hook(lambda _, __, weights: keep(weights))
    try:
        yield
    finally:
        hook.remove()
        attention.fused_attn = fused
