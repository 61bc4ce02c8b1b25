"""Empirical risk minimisation: the linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spurbench.cards import MethodCard
from spurbench.heads import L2_GRID, fit_probes
from spurbench.method import BatchedMethod, Fitted, Problem
from spurbench.space import Distribution


class ERM(BatchedMethod):
    """Linear probe: min_W sum_i CE(W x_i + b, y_i) + ||W||^2 / (2 C), to convergence.

    Features are standardised by the training split's statistics. The often quoted 7.9 % worst-group accuracy of the
    CLIP probe on Waterbirds is an under-trained one (SGD, lr 1e-3); a converged probe with the penalty chosen on
    validation is the fair baseline.
    """

    card = MethodCard(name="erm", title="ERM (linear probe)", paper="arXiv 2103.00020")
    space: Mapping[str, Distribution] = {"C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each. There is nothing random here: seeds that try the same C share its fit."""
        return fit_probes(problems)
