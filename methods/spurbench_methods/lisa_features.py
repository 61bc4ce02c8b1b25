"""LISA on features: mix examples so that the attribute says nothing of the class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import Descent, Standardiser, cross_entropy_gradient, descend, heads_of, standardised
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, Task, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.space import Distribution, LogUniform

EPOCHS = (3, 10, 30)
BATCH = 128
P_SAME_CLASS = 0.5
"""Probability that a batch mixes within classes; else it mixes within attributes."""
ALPHA = 2.0
"""Mixing ratios are drawn from Beta(ALPHA, ALPHA)."""


class LISAFeatures(BatchedMethod):
    """Selective augmentation by mixing features of two examples, and their labels.

    Yao et al. 2022 (arXiv 2201.00299). With probability 1/2 a batch mixes examples of one class and different
    attributes, otherwise of one attribute and different classes; lambda x_1 + (1 - lambda) x_2 and the same for the
    labels, lambda from Beta(2, 2), one per pair. The paper mixes pixels (mixup on Waterbirds, CutMix elsewhere, whose
    released code draws from Beta(0.2, 0.2) by mistake) of a ResNet in batches of 16; on frozen features mixup is what
    remains. An example without a partner stays as it is.
    Rows are drawn with replacement; an epoch is as many draws as there are examples.
    """

    card = MethodCard(
        name="lisa_features",
        title="LISA on features",
        paper="arXiv 2201.00299",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {
        "lr": LogUniform(1e-5, 1e-1, first=1e-3),
        "weight_decay": LogUniform(1e-5, 1.0, first=1e-4),
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along training; the configurations of a seed see the same batches."""
        scaler, x = standardised(problems[0].task)
        parts = bundles(problems)
        return in_place(parts, on_every_core(partial(_train, scaler, x), parts, x.device))


def _train(scaler: Standardiser, x: torch.Tensor, part: Bundle) -> list[Fitted]:
    one_hot = torch.nn.functional.one_hot(part.task.train.y, part.task.n_classes).to(x)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for first, second, share in pairs(part.task):
            first, second, share = first.to(x.device), second.to(x.device), share.to(x.device)[:, None]
            yield torch.lerp(x[second], x[first], share), torch.lerp(one_hot[second], one_hot[first], share)

    steps = -(-len(x) // BATCH)
    descent = Descent(part.column("lr"), part.column("weight_decay"))
    shape = len(part.configs), part.task.n_classes, x.shape[1]
    snapshots = [steps * epoch for epoch in EPOCHS]
    return heads_of(scaler, descend(batches(), cross_entropy_gradient, descent, shape, snapshots))


def pairs(task: Task) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Batches of (rows, their partners' rows, the rows' share lambda), (m,) each, without end."""
    generator = task.seed.derive("pairs").numpy()
    y, a = task.train.y, task.train.a
    partners = _Partners(y, a, task.n_classes, task.n_attributes)
    while True:
        rows = torch.from_numpy(generator.integers(len(y), size=BATCH))
        same_class = bool(generator.random() < P_SAME_CLASS)
        choice = torch.from_numpy(generator.random(BATCH))
        share = torch.from_numpy(generator.beta(ALPHA, ALPHA, size=BATCH)).float()
        yield rows, partners.of(rows, choice, same_class=same_class), share


class _Partners:
    """Uniform partners: of the same class and another attribute, or the other way round."""

    def __init__(self, y: torch.Tensor, a: torch.Tensor, n_classes: int, n_attributes: int) -> None:
        self._labels = {True: (y, n_classes, a), False: (a, n_attributes, y)}

        def fitting(shared: torch.Tensor, other: torch.Tensor, s: int, o: int) -> torch.Tensor:
            return torch.nonzero((shared == s) & (other != o))[:, 0]

        self._fitting = {
            same: {(s, o): fitting(shared, other, s, o) for s in range(n) for o in torch.unique(other).tolist()}
            for same, (shared, n, other) in self._labels.items()
        }

    def of(self, rows: torch.Tensor, choice: torch.Tensor, *, same_class: bool) -> torch.Tensor:
        """(m,) partners of rows (m,), by numbers `choice` (m,) in [0, 1)."""
        shared, _, other = self._labels[same_class]
        partners = rows.clone()
        for (s, o), fitting in self._fitting[same_class].items():
            here = (shared[rows] == s) & (other[rows] == o)
            if len(fitting):
                partners[here] = fitting[(choice[here] * len(fitting)).long()]
        return partners
