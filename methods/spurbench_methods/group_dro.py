"""GroupDRO: minimise the worst group's loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import (
    Descent,
    Standardiser,
    cross_entropy_gradient,
    descend,
    drawn,
    heads_of,
    padded,
    standardised,
)
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Choice, Distribution, LogUniform

EPOCHS = (3, 10, 30)
"""Epochs after which a snapshot is a candidate; dense at the start, where a linear head is often best."""
BATCH = 128


class GroupDRO(BatchedMethod):
    """Group distributionally robust optimisation of a linear head by SGD, all configurations of a seed in one batch.

    Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1 with group adjustment, as in `loss.py` of the released code.
    Per batch, drawn group-balanced with replacement: group mean losses l_g; q_g <- q_g exp(eta (l_g + C / sqrt(n_g))),
    normalised; the step descends sum_g q_g l_g. SGD with momentum 0.9. A group absent from a batch keeps its q, and the
    others share the rest (the released code updates it with a loss of zero). Features are standardised by the training
    split. The paper trains ResNets for 300 epochs; a linear head on standardised features needs fewer.
    """

    card = MethodCard(
        name="group_dro",
        title="GroupDRO",
        paper="arXiv 1911.08731",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {
        "lr": LogUniform(1e-5, 1e-2, first=1e-3),
        "weight_decay": LogUniform(1e-4, 1.0, first=1e-4),
        "eta": Choice(0.01, 0.1),
        "adjustment": Choice(0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        scaler, x = standardised(problems[0].task)
        parts = bundles(problems)
        return in_place(parts, on_every_core(partial(_train, scaler, x), parts, x.device))


def _train(scaler: Standardiser, x: torch.Tensor, part: Bundle) -> list[Fitted]:
    task = part.task
    y, groups = task.train.y.to(x.device), task.train.groups
    totals = torch.bincount(groups, minlength=task.n_groups)
    groups = groups.to(x.device)
    weights = GroupWeights(totals.to(x.device), part.column("eta"), part.column("adjustment"))

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in drawn(1.0 / totals[task.train.groups].double(), BATCH, task.seed.derive("batches").torch()):
            rows = rows.to(x.device)
            yield x[rows], rows

    def gradient(logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        losses = -torch.log_softmax(logits, dim=-1).gather(-1, y[rows, None, None].expand(-1, len(part.configs), 1))
        return cross_entropy_gradient(logits, y[rows], weights.update(losses[..., 0], groups[rows]))

    steps = -(-len(x) // BATCH)
    descent = Descent(part.column("lr"), part.column("weight_decay"))
    shape = len(part.configs), task.n_classes, x.shape[1]
    return heads_of(scaler, descend(batches(), gradient, descent, shape, [steps * epoch for epoch in EPOCHS]))


class GroupWeights:
    """The adversary: weights q (C, G) over groups for C configurations, uniform at first over the groups that occur.

    Args:
        totals: (G,) training examples per group, n_g.
        eta: (C,) step size of the exponentiated gradient.
        adjustment: (C,), the paper's generalisation adjustment.
    """

    def __init__(self, totals: torch.Tensor, eta: torch.Tensor, adjustment: torch.Tensor) -> None:
        present = (totals > 0).float()
        self.q = (present / present.sum()).repeat(len(eta), 1)
        self.eta, self.margin = eta[:, None], adjustment[:, None] / totals.clamp_min(1).sqrt()

    def update(self, losses: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Move q by the losses (m, C) of a batch with groups (m,); the examples' weights in the loss, (m, C)."""
        member = torch.nn.functional.one_hot(groups, self.q.shape[1]).to(losses)
        size = member.sum(dim=0)
        present = size > 0
        sums = (padded(member).T @ padded(losses))[: len(size), : losses.shape[1]].T
        # The mass of the groups in the batch is shared anew among them; in logarithms, for it must not overflow.
        growth = self.q.clamp_min(1e-30).log() + self.eta * (sums / size.clamp_min(1) + self.margin)
        shares = torch.softmax(torch.where(present, growth, -torch.inf), dim=1)
        mass = (self.q * present).sum(dim=1, keepdim=True)
        self.q = torch.where(present, shares * mass, self.q)
        return (self.q / size.clamp_min(1)).T[groups]
