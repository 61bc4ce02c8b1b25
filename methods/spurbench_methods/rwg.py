"""RWG and RWY: weight every group, or every class, alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import L2_GRID, balancing_weights, fit_probes
from spurbench.method import BatchedMethod, Fitted, Problem
from spurbench.space import Distribution


class RWG(BatchedMethod):
    """ERM with each example weighted by N / (G n_g), so that all G groups that occur carry the same mass.

    Idrissi et al. 2022 (arXiv 2110.14503) draw mini-batches with probabilities proportional to 1 / n_g; for a convex
    head fitted to convergence that sampler's expected loss is this weighted one. Weights average 1, so C means what it
    means in `erm`.
    """

    card = MethodCard(
        name="rwg",
        title="RWG (group reweighting)",
        paper="arXiv 2110.14503",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each."""
        return fit_probes(problems, lambda task: balancing_weights(task.train.groups))


class RWY(BatchedMethod):
    """The same with classes in place of groups, N / (K n_y): what class balance alone is worth."""

    card = MethodCard(name="rwy", title="RWY (class reweighting)", paper="arXiv 2110.14503")
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each."""
        return fit_probes(problems, lambda task: balancing_weights(task.train.y))
