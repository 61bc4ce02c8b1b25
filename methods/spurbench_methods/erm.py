"""Empirical risk minimisation: the linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spurbench.cards import MethodCard
from spurbench.heads import L2_GRID, features_and_labels, fit_probe
from spurbench.method import Predictor, Task
from spurbench.space import Config, Distribution


class ERM:
    """Linear probe: min_W sum_i CE(W x_i + b, y_i) + ||W||^2 / (2 C), to convergence.

    Features are standardised by the training split's statistics. The often quoted 7.9 % worst-group accuracy of the
    CLIP probe on Waterbirds is an under-trained one (SGD, lr 1e-3); a converged probe with the penalty chosen on
    validation is the fair baseline.
    """

    card = MethodCard(name="erm", title="ERM (linear probe)", paper="arXiv 2103.00020")
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One head."""
        x, y = features_and_labels(task.train)
        return [fit_probe(x, y, task.n_classes, c=float(config["C"]))]
