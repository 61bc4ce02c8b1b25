"""DFR: its parts against scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from spurbench.evaluation import evaluate
from spurbench.heads import balanced_subset
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.tasks import make_task, train_view
from spurbench_methods.dfr import DFRTrain, DFRVal

if TYPE_CHECKING:
    from conftest import MakePrepared


def test_the_head_is_the_average_over_twenty_balanced_subsets(
    make_prepared: MakePrepared, liblinear: type[LogisticRegression]
) -> None:
    prepared = make_prepared()
    method = DFRVal()
    examples = prepared.examples
    assert examples.features is not None
    seed = Seed(("here",))
    task = make_task(method, prepared, train_view(method, prepared), examples.rows("val"), seed)
    (head,) = method.fit(task, {"C": 0.3})
    scaler = StandardScaler().fit(examples.features.embeddings[examples.rows("train")].astype(np.float64))
    raw = task.val.embeddings().double().numpy()
    inputs, y, groups = scaler.transform(raw), task.val.y.numpy(), task.val.groups.numpy()
    coefficients, intercepts = [], []
    for index in range(20):
        subset = seed.derive("balanced subset", index)
        kept = balanced_subset(groups, 4, subset.numpy())
        assert np.bincount(groups[kept]).tolist() == [20] * 4
        fit = liblinear(C=0.3, tol=1e-9).fit(inputs[kept], y[kept])
        coefficients.append(fit.coef_[0])
        intercepts.append(fit.intercept_[0])
    margin = inputs @ np.mean(coefficients, axis=0) + np.mean(intercepts)
    ours = raw @ head.weight.double().numpy().T + head.bias.double().numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], margin, atol=1e-4)


def test_dfr_train_uses_ten_subsets_of_training_data_and_never_validation(make_prepared: MakePrepared) -> None:
    assert DFRTrain.subsets == 10
    assert DFRVal.subsets == 20
    prepared = make_prepared()
    method = DFRTrain()
    task = make_task(method, prepared, train_view(method, prepared), prepared.examples.rows("val")[:0], Seed(("s",)))
    assert task.val_view is None
    (head,) = method.fit(task, {"C": 1.0})
    assert torch.isfinite(head.weight).all()  # type: ignore[attr-defined]


def test_three_classes_are_fitted_one_against_the_rest(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(40, 12, 15, 30, 20, 20), val=(20,) * 6, test=(50,) * 6, d=8)
    [(result, _)] = evaluate(DFRVal(), prepared, load_rules("quick"), [0])
    assert len(result.test_total) == 6
    assert sum(result.selected["worst_group"].test) / sum(result.test_total) > 0.45, "better than a third by chance"
