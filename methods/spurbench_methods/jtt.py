"""JTT: just train twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.heads import fit_weighted_probes, standardised
from spurbench.method import BatchedMethod, Fitted, Problem, bundles
from spurbench.space import Choice, Distribution

from .inference.errors import STEPS, misclassified

PENALTIES = Choice(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)


class JTT(BatchedMethod):
    """Train briefly, then train again with the mistakes weighted up.

    Liu et al. 2021 (arXiv 2107.09044). Stage 1: ERM by SGD for `steps` steps, which is what regularises it here; E are
    the training examples that it gets wrong. Stage 2: a fresh head on the training split with E added `upweight` times
    more, so that an example of E weighs 1 + upweight, as in the released code (some re-implementations weigh it
    `upweight`). The paper stops stage 1 after 60 of 300 epochs of a ResNet; a linear head trains much faster, and is
    stopped after so many steps as are searched over. Stage 2 is the converged probe of `erm`, weights normalised to
    mean 1; a strong penalty comes first, as the paper's weight decay of 1 on Waterbirds. Steps, upweight and penalty
    are chosen by the harness: by worst-group accuracy as in the paper, which says that the method fails without.
    """

    card = MethodCard(name="jtt", title="JTT", paper="arXiv 2107.09044")
    space: Mapping[str, Distribution] = {"steps": STEPS, "upweight": Choice(100.0, 20.0, 50.0), "C": PENALTIES}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each; stage 1 is done anew for each seed."""
        _, x = standardised(problems[0].task)
        weights = {}
        for part in bundles(problems):
            wrong = misclassified(part.task, x, [int(config["steps"]) for config in part.configs])
            for place, config in zip(part.places, part.configs, strict=True):
                weights[place] = upweighted(wrong[int(config["steps"])], float(config["upweight"]))
        return fit_weighted_probes(problems, [weights[place] for place in range(len(problems))])


def upweighted(wrong: torch.Tensor, upweight: float) -> torch.Tensor:
    """(n,) weights 1 + upweight for examples in the error set (n,) bool, 1 for the others, scaled to mean 1."""
    weight = 1.0 + upweight * wrong.float()
    return weight / weight.mean()
