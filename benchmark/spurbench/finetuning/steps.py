"""The gradient of a batch's loss, in as much memory as there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

from .memory import Plan
from .towers import Towers

Parts: TypeAlias = "Sequence[tuple[torch.Tensor, ...]]"


def backward(
    towers: Towers,
    plan: Plan,
    images: torch.Tensor,
    tokens: torch.Tensor | None,
    target: torch.Tensor,
    boxes: torch.Tensor | None = None,
) -> torch.Tensor:
    """Add the gradient of a batch's loss to the trained parameters; returns the loss.

    A batch that is too large is split, and the gradient is the same up to rounding. Where the loss is a mean over
    examples each part gives its share. Otherwise the embeddings are computed in parts without gradients, the loss is
    differentiated by them, and each part is computed once more to carry that on (Gao et al. 2021, arXiv 2101.06983).

    Args:
        images: (b, 3, H, W).
        tokens: (u, L) texts of the batch, or None where no text tower is trained.
        target: (b, ...) as `Objective.batch` gives it.
        boxes: (b, r, 4) of the regions to be embedded, or None.
    """
    objective = towers.objective
    whole = plan.whole(len(images), 0 if tokens is None else len(tokens))
    if whole or (tokens is None and objective.separable):
        size = len(images) if whole else plan.images_at_once()
        total = torch.zeros((), device=images.device)
        for some, wanted in zip(_parts(images, boxes, size), torch.split(target, size), strict=True):
            text = None if towers.text is None else towers.text(tokens)
            share = objective(towers.image(*some), wanted, text) * (len(wanted) / len(images))
            share.backward()
            total += share.detach()
        return total
    sides: list[tuple[nn.Module, Parts]] = [(towers.image, _parts(images, boxes, plan.images_at_once()))]
    if towers.text is not None and tokens is not None:
        sides.append((towers.text, _parts(tokens, None, plan.texts_at_once())))
    with torch.no_grad():
        embedded = [torch.cat([tower(*part) for part in parts]) for tower, parts in sides]
    leaves = [embeddings.requires_grad_() for embeddings in embedded]
    loss: Any = objective(leaves[0], target, leaves[1] if len(leaves) > 1 else None)
    loss.backward()
    for (tower, parts), leaf in zip(sides, leaves, strict=True):
        assert leaf.grad is not None
        for part, gradient in zip(parts, torch.split(leaf.grad, [len(part[0]) for part in parts]), strict=True):
            tower(*part).backward(gradient)
    value: torch.Tensor = loss.detach()
    return value


def _parts(inputs: torch.Tensor, boxes: torch.Tensor | None, size: int) -> Parts:
    """What a tower is called with, a part of a batch at a time."""
    if boxes is None:
        return [(some,) for some in torch.split(inputs, size)]
    return list(zip(torch.split(inputs, size), torch.split(boxes, size), strict=True))
