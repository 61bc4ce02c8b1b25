"""AFR: automatic feature reweighting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from spurbench.cards import MethodCard
from spurbench.errors import ConfigurationError
from spurbench.heads import (
    Descent,
    Standardiser,
    Weights,
    column_sums,
    cross_entropy_gradient,
    descend,
    heads_of,
    padded,
    standardised,
)
from spurbench.method import BatchedMethod, Bundle, Fitted, Problem, bundles, in_place
from spurbench.parallel import on_every_core
from spurbench.solvers import Design, Solution, solve_logistic
from spurbench.space import Choice, Distribution

STEPS = (50, 150, 500)
"""Steps of gradient descent after which a snapshot is a candidate; the paper's Waterbirds run ends with the last."""
FIRST_SHARE = 0.8
C = 1.0
"""Inverse penalty strength of the ERM head, scikit-learn's default."""
GAMMAS = (4.0, 8.0, 12.0, 16.0, 20.0, 6.0, 10.0, 14.0, 18.0)


class AFR(BatchedMethod):
    """Refit the head on held-out training data, with a weight on what ERM finds hard.

    Qiu et al. 2023 (arXiv 2306.11074). The training split is divided 80/20 within classes. Stage 1: ERM on the 80 %.
    Stage 2, on the 20 %, full-batch gradient descent from the ERM head W_0: sum_i b_i CE_i + lambda ||W - W_0||^2, with
    b_i proportional to exp(-gamma p_i) / n_{y_i}, p_i ERM's probability of the right class, b summing to 1; gradients
    clipped to norm 1, all on standardised features. Started at W_0, as the authors' script does (their notebook adds a
    random layer). Stage 1 is the converged probe, of which the same rows with weights 1 and 0 make one batch for all
    seeds; the paper's is a ResNet trained by SGD.
    """

    card = MethodCard(name="afr", title="AFR", paper="arXiv 2306.11074")
    space: Mapping[str, Distribution] = {
        "gamma": Choice(*GAMMAS),
        "lambda": Choice(0.0, 0.1, 0.2, 0.3),
        "lr": Choice(0.01, 0.02, 0.05),
    }

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """Snapshots along the second stage."""
        task = problems[0].task
        scaler, x = standardised(task)
        y = task.train.y.to(x.device)
        parts = bundles(problems)
        first = torch.stack([first_part(part) for part in parts], dim=1).to(x.device)
        c = torch.full((len(parts),), C, dtype=torch.float64)
        design = Design(c, weight=first.to(x))
        (erm,) = solve_logistic(x, y, task.n_classes, [design], penalty="l2", memory_limit=task.memory_limit)
        stages = [(part, erm, b, torch.nonzero(~first[:, b])[:, 0]) for b, part in enumerate(parts)]
        return in_place(parts, on_every_core(partial(_second_stage, scaler, x, y), stages, x.device))


def first_part(part: Bundle) -> torch.Tensor:
    """(n,) bool: the training examples of stage 1, the same share of every class."""
    y = part.task.train.y
    generator = part.task.seed.derive("split").torch()
    first = torch.zeros(len(y), dtype=torch.bool)
    for k in torch.unique(y).tolist():
        members = torch.nonzero(y == k)[:, 0]
        order = members[torch.randperm(len(members), generator=generator)]
        first[order[: round(FIRST_SHARE * len(members))]] = True
    return first


def _second_stage(
    scaler: Standardiser,
    x: torch.Tensor,
    y: torch.Tensor,
    stage: tuple[Bundle, Solution, int, torch.Tensor],
) -> list[Fitted]:
    part, erm, b, rows = stage
    count = len(part.configs)
    if not bool(erm.converged[b]):
        return [ConfigurationError("the ERM head of stage 1 did not converge")] * count
    if not len(rows):
        return [ConfigurationError("there are too few training examples: none is held out")] * count
    x, y = x[rows], y[rows]
    weight, bias = erm.weight[b].float(), erm.bias[b].float()
    right = torch.softmax(x @ weight.T + bias, dim=1)[torch.arange(len(y), device=y.device), y]
    emphasis = hardness_weights(right, y, part.column("gamma"))
    start = Weights(weight.expand(count, -1, -1), bias.expand(count, -1))
    descent = Descent(
        part.column("lr"), torch.zeros(count, device=x.device), momentum=0.0, pull=part.column("lambda"), clip=1.0
    )

    def batches() -> Iterator[tuple[torch.Tensor, None]]:
        while True:
            yield x, None

    def gradient(logits: torch.Tensor, known: None) -> torch.Tensor:  # noqa: ARG001
        return cross_entropy_gradient(logits, y, emphasis)

    shape = count, part.task.n_classes, x.shape[1]
    return heads_of(scaler, descend(batches(), gradient, descent, shape, STEPS, start))


def hardness_weights(right: torch.Tensor, y: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """(m, C) weights b summing to 1 over examples: exp(-gamma p) / n_y.

    Args:
        right: (m,) probability of the right class.
        gamma: (C,).
    """
    totals = torch.bincount(y).to(right)
    weight = padded(torch.exp(-gamma * right[:, None]) / totals[y][:, None])
    return (weight / column_sums(weight).clamp_min(1e-30))[:, : len(gamma)]
