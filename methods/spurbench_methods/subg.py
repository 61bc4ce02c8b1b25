"""SUBG and SUBY: subsample every group, or every class, to the size of the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import L2_GRID, balanced_subset, fit_subset_probes
from spurbench.method import BatchedMethod, Fitted, Problem, Task
from spurbench.space import Distribution


class SUBG(BatchedMethod):
    """ERM on one group-balanced subset of the training split, drawn once per seed.

    Idrissi et al. 2022, "Simple data balancing achieves competitive worst-group-accuracy" (arXiv 2110.14503): drop
    examples at random until every group has the size of the smallest, then train as usual. Here the model is the
    linear head of `erm`, on features standardised by the whole training split.
    """

    card = MethodCard(
        name="subg",
        title="SUBG (group subsampling)",
        paper="arXiv 2110.14503",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each."""
        return fit_subset_probes(problems, lambda task: _subset(task, task.train.groups, task.n_groups))


class SUBY(BatchedMethod):
    """The same with classes in place of groups: no group labels."""

    card = MethodCard(name="suby", title="SUBY (class subsampling)", paper="arXiv 2110.14503")
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each."""
        return fit_subset_probes(problems, lambda task: _subset(task, task.train.y, task.n_classes))


def _subset(task: Task, labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    return torch.from_numpy(balanced_subset(labels.numpy(), n_labels, task.seed.derive("subset").numpy()))
