"""Relevance: what reaches the pooled tokens of a transformer from each patch, through all its attentions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import UnknownNameError, WeightsError
from .kept import keeps, weights_kept
from .transformers import Transformer, kind_of, transformer_of

INSTEAD = "use --maps grad-cam"


@dataclass(frozen=True)
class Relevance:
    """Chefer, Gur and Wolf 2021 (arXiv 2103.15679), section 3.1, equations 5 and 6: R = I; block by block R becomes
    R + Abar R, where Abar is the mean over heads of relu(A * dscore/dA). The map is the row of the token that is
    pooled, at the patches; of towers that average their patches' tokens, the mean of those tokens' rows without what
    each has of itself.

    R begins at the first block, as in the paper; the notebook for CLIP that was released with it begins at the last by
    default. It is never computed whole: a row takes one product of a vector and a matrix per block, from the last to
    the first.

    Attributes:
        layer: the block that R begins at.
        attentions: of that block and all after it.
    """

    layer: str
    transformer: Transformer
    attentions: tuple[nn.Module, ...]

    def watching(self) -> AbstractContextManager[list[torch.Tensor]]:
        """The attention weights of every block, (b, H, T, T)."""
        return weights_kept(self.attentions)

    def maps(self, seen: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """(b, h, w)."""
        prefix, grid = self.transformer.prefix, self.transformer.grid
        start = torch.zeros(len(seen[0]), 1, self.transformer.tokens, device=seen[0].device)
        if self.transformer.pooled == "token":
            start[:, :, 0] = 1.0
        else:
            start[:, :, prefix:] = 1.0 / (grid[0] * grid[1])
        row = start
        for weights, gradient in zip(reversed(seen), reversed(gradients), strict=True):
            row = row + row @ (weights.detach().float() * gradient.float()).relu_().mean(dim=1)
        return (row - start)[:, 0, prefix:].reshape(-1, *grid)


def relevance(trunk: nn.Module, layer: str | None) -> Relevance:
    """Relevance in a trunk, from the block `layer` on, or from the first.

    Raises:
        UsageError: there is no such block.
        WeightsError: it is no transformer, or one whose attention or pooling is another.
    """
    transformer = transformer_of(trunk)
    kind = kind_of(trunk)
    if transformer is None:
        raise WeightsError(f"relevance needs a vision transformer, and a tower of the kind {kind} is none; {INSTEAD}")
    if transformer.pooled is None:
        raise WeightsError(
            f"relevance needs a transformer that pools one token or the mean of its patches, and a tower of the kind "
            f"{kind} pools otherwise; {INSTEAD}"
        )
    if layer is not None and layer not in transformer.blocks:
        raise UnknownNameError("block", layer, transformer.blocks)
    names = transformer.blocks[0 if layer is None else transformer.blocks.index(layer) :]
    attentions = tuple(getattr(trunk.get_submodule(name), transformer.attention, nn.Identity()) for name in names)
    for attention in attentions:
        if not keeps(attention):
            raise WeightsError(
                f"relevance needs attention weights, and those of a tower of the kind {kind} cannot be had from its "
                f"layers of the kind {type(attention).__name__}; {INSTEAD}"
            )
    return Relevance(names[0], transformer, attentions)
