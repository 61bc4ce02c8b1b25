"""An ERM head stopped early: what methods that look for groups learn from."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from ..method import Task
from .descent import Descent, cross_entropy_gradient, descend, shuffled
from .linear import padded

BATCH, LR, WEIGHT_DECAY = 128, 1e-3, 1e-4
"""SGD with momentum 0.9, on standardised features."""


def early_logits(task: Task, x: torch.Tensor, steps: Collection[int]) -> dict[int, torch.Tensor]:
    """Logits (n, K) on the training examples of a linear head trained by SGD for so many steps.

    Args:
        x: (n, d) features, standardised.
    """
    y = task.train.y.to(x.device)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in shuffled(len(x), BATCH, task.seed.derive("early ERM").torch()):
            yield x[rows.to(x.device)], y[rows.to(x.device)]

    one = torch.ones(1, device=x.device)
    wanted = sorted(set(steps))
    descent, shape = Descent(LR * one, WEIGHT_DECAY * one), (1, task.n_classes, x.shape[1])
    taken = descend(batches(), cross_entropy_gradient, descent, shape, wanted)
    return {
        step: (x @ padded(heads.weight[0].T))[:, : task.n_classes] + heads.bias[0]
        for step, heads in zip(wanted, taken, strict=True)
    }
