"""SUBG: subsample every group to the size of the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spurbench.cards import MethodCard, Supervision
from spurbench.heads import L2_GRID, balanced_subset, features_and_labels, fit_probe
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class SUBG:
    """ERM on one group-balanced subset of the training split, drawn once per seed.

    Idrissi et al. 2022, "Simple data balancing achieves competitive worst-group-accuracy" (arXiv 2110.14503): drop
    examples at random until every group has the size of the smallest, then train as usual. Here the model is the
    linear head of `erm`; the standardiser sees the subset only.
    """

    card = MethodCard(
        name="subg",
        title="SUBG (group subsampling)",
        paper="arXiv 2110.14503",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One head."""
        x, y = features_and_labels(task.train)
        kept = balanced_subset(task.train.groups.numpy(), task.n_groups, task.seed.derive("subset").numpy())
        return [fit_probe(x[kept], y[kept], task.n_classes, c=float(config["C"]))]
