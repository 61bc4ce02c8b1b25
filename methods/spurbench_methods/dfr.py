"""Deep Feature Reweighting: refit the last layer on group-balanced data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spurbench.cards import MethodCard, Supervision
from spurbench.data import View
from spurbench.heads import (
    LinearHead,
    Standardiser,
    average_heads,
    balanced_subset,
    features_and_labels,
    fit_logistic,
)
from spurbench.method import Predictor, Task
from spurbench.space import Choice, Config, Distribution

PUBLISHED_GRID = Choice(1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)


class DFRVal:
    """DFR_Tr^Val: L1 logistic regressions on group-balanced subsets of validation, averaged.

    Kirichenko et al. 2023 (arXiv 2204.02937), recipe of `dfr_evaluate_spurious.py`: standardise by the full training
    embeddings; 20 times draw a subset of validation with as many examples of each group as the smallest has and fit
    an L1 logistic regression (liblinear) with inverse strength C from the published grid; average the 20 weight
    vectors and intercepts. C is chosen on a held-out half of validation, the final head is fitted on all of it
    (`refit`). More than two classes: one against the rest.

    Where this departs from the released script, all of it while tuning C: the halves are stratified by group, every C
    is judged by its average over 20 subsets instead of one subset's fit, and features are standardised by the training
    split instead of by the subset. The final fit is the script's.
    """

    card = MethodCard(
        name="dfr_val",
        title="DFR on validation",
        paper="arXiv 2204.02937",
        supervision=Supervision(val_groups=True),
        refit=True,
    )
    space: Mapping[str, Distribution] = {"C": PUBLISHED_GRID}
    subsets = 20

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One head: the average over subsets."""
        return [_reweighted(task, task.val, float(config["C"]), self.subsets)]


class DFRTrain:
    """DFR_Tr^Tr: the same on group-balanced subsets of the training split, averaged over 10 as released.

    Kirichenko et al. 2023 (arXiv 2204.02937). C is chosen on the whole validation split, judged by the average over
    10 subsets; the released script judges one subset's fit, cut short at 20 iterations, and can also tune class
    weights, which is off here as in its default.
    """

    card = MethodCard(
        name="dfr_train",
        title="DFR on training data",
        paper="arXiv 2204.02937",
        supervision=Supervision(train_groups=True),
    )
    space: Mapping[str, Distribution] = {"C": PUBLISHED_GRID}
    subsets = 10

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        """One head: the average over subsets."""
        return [_reweighted(task, task.train, float(config["C"]), self.subsets)]


def _reweighted(task: Task, labelled: View, c: float, subsets: int) -> LinearHead:
    scaler = Standardiser.fit(task.train.embeddings().double().numpy())
    x, y = features_and_labels(labelled)
    x, groups = scaler(x), labelled.groups.numpy()
    heads = []
    for index in range(subsets):
        # The same subsets for every C: configurations then differ in C alone.
        seed = task.seed.derive("balanced subset", index)
        kept = balanced_subset(groups, task.n_groups, seed.numpy())
        heads.append(fit_logistic(x[kept], y[kept], task.n_classes, c=c, penalty="l1", seed=seed.integer()))
    return scaler.fold(*average_heads(heads))
