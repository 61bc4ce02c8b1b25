"""RWG: weight every group alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import L2_GRID, features_and_labels, fit_probe
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class RWG:
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

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One head."""
        x, y = features_and_labels(task.train)
        groups = task.train.groups.numpy()
        totals = np.bincount(groups, minlength=task.n_groups)
        weights = len(groups) / (np.count_nonzero(totals) * totals[groups].astype(np.float64))
        return [fit_probe(x, y, task.n_classes, c=float(config["C"]), sample_weight=weights)]
