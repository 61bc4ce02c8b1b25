"""How a projection computes: a pure function of C sets of its weights, and of rows that all of them share.

What one set of weights gives does not depend, to the bit, on how many others are asked: no product spans two sets. (Of
odd widths it may in the last bit, for sets then begin at odd places of memory.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import nn

from ..errors import MethodError

Weights: TypeAlias = "Mapping[str, torch.Tensor]"
"""By name; in training, and where many are asked at once, with a leading dimension C."""


class Form(Protocol):
    """How a projection computes."""

    def __call__(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """(C, b, d) outputs for C sets of weights on rows x (b, ...)."""

    def activation_bytes(self, rows: torch.Size, d: int) -> int:
        """What one set of weights holds in memory while it is trained on rows of this shape (b, ...)."""


@dataclass(frozen=True)
class Linear:
    """x W + b: a ViT's projection matrix, the linear head of a timm tower, a text projection.

    Weights: `weight` (C, p, d), and `bias` (C, d) if there is one.
    """

    def __call__(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """(C, b, d) for x (b, p)."""
        weight = weights["weight"]
        z = torch.bmm(x.expand(len(weight), *x.shape), weight)
        return z + weights["bias"][:, None] if "bias" in weights else z

    def activation_bytes(self, rows: torch.Size, d: int) -> int:
        """Outputs, their lengths and gradients."""
        return 4 * 6 * rows[0] * d


@dataclass(frozen=True)
class Pool:
    """The attention pool of CLIP's ModifiedResNet, `open_clip.modified_resnet.AttentionPool2d`, at its one query.

    Only the mean token asks, so no key or value is ever computed: with q its query, a head's scores are
    <x_l + pos_l, W_k' q> up to a constant that softmax takes out, and its output W_v (sum_l a_l (x_l + pos_l)) + b_v.
    That is the same function at 1 / 20 of the operations for maps of 7 x 7 x 2048.

    Weights: those of the module by their names there, but for the bias of keys, which has no effect.
    """

    heads: int

    def __call__(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """(C, b, d) for maps x (b, c, h, w)."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        # One set after the other: products of all at once would copy the tokens for each, and add up in another order.
        return torch.stack([self._one(one, tokens) for one in _each(weights)])

    def _one(self, weights: Weights, tokens: torch.Tensor) -> torch.Tensor:
        """(b, d) for one set of weights and tokens (b, l, c), the first of which asks."""
        b, c = len(tokens), tokens.shape[2]
        heads, size, place = self.heads, c // self.heads, weights["positional_embedding"]
        query = (tokens[:, 0] + place[0]) @ weights["q_proj.weight"].T + weights["q_proj.bias"]
        query = query.reshape(b, heads, size).transpose(0, 1)
        # Per head W_k is (size, c).
        asked = (query @ weights["k_proj.weight"].reshape(heads, size, c)).transpose(0, 1) * size**-0.5
        share = torch.softmax(asked @ tokens.transpose(1, 2) + asked @ place.T, dim=-1)
        seen = share @ tokens + share @ place
        value = weights["v_proj.weight"].reshape(heads, size, c).transpose(1, 2)
        out = (seen.transpose(0, 1) @ value).transpose(0, 1).reshape(b, c) + weights["v_proj.bias"]
        return out @ weights["c_proj.weight"].T + weights["c_proj.bias"]

    def activation_bytes(self, rows: torch.Size, d: int) -> int:
        """Per head one vector of queries and one of values for every row, several copies each, and the maps twice."""
        return 4 * (8 * rows[0] * self.heads * rows[1] + 2 * rows.numel() + rows[0] * d)


@dataclass(frozen=True)
class Module:
    """Any other projection, run by torch, one set of weights after the other. Weights: the module's trained ones."""

    module: nn.Module

    def __call__(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """(C, b, d)."""
        return torch.stack([torch.func.functional_call(self.module, one, (x,)) for one in _each(weights)])

    def activation_bytes(self, rows: torch.Size, d: int) -> int:
        """A guess: what an arbitrary module keeps cannot be known."""
        return 4 * 16 * (rows.numel() + rows[0] * d)


def _each(weights: Weights) -> list[dict[str, torch.Tensor]]:
    """The C sets. Not by index: the gradient of each slice would be as large as all of them together."""
    return [dict(zip(weights, one, strict=True)) for one in zip(*(v.unbind() for v in weights.values()), strict=True)]


def form_of(module: nn.Module) -> tuple[Form, dict[str, torch.Tensor]]:
    """How a projection computes, and its weights, without C, as they are.

    Raises MethodError for one that has no weights: that backbone's projection cannot be trained.
    """
    from open_clip.modified_resnet import AttentionPool2d

    from ..backbones.cutting import MatrixProjection

    state = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}
    if not state:
        raise MethodError(
            "the backbone has nothing to train between its penultimate activations and its embeddings: its tower "
            "cannot be cut before a projection"
        )
    if isinstance(module, AttentionPool2d):
        return Pool(module.num_heads), {name: value for name, value in state.items() if name != "k_proj.bias"}
    if isinstance(module, MatrixProjection):
        return Linear(), state
    inner = [layer for layer in module.children() if not isinstance(layer, nn.Dropout | nn.Identity)]
    layer = inner[0] if isinstance(module, nn.Sequential) and len(inner) == 1 else module
    if isinstance(layer, nn.Linear):
        weights = {"weight": layer.weight.detach().T.contiguous()}
        return Linear(), weights if layer.bias is None else {**weights, "bias": layer.bias.detach()}
    return Module(module), state


def initial(weights: Weights, count: int) -> dict[str, torch.Tensor]:
    """C copies of the weights, each a leaf that takes gradients."""
    return {
        name: value.expand(count, *value.shape).clone().requires_grad_(True)  #
        for name, value in weights.items()
    }
