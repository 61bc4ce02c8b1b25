"""ERM, SUBG, RWG and zero-shot against scikit-learn and closed forms on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spurbench.method import Method
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view, view_of
from spurbench_methods.erm import ERM
from spurbench_methods.rwg import RWG
from spurbench_methods.subg import SUBG
from spurbench_methods.zero_shot import ZeroShot

if TYPE_CHECKING:
    from conftest import MakePrepared


def logits_on_test(method: Method, prepared: Prepared, config: dict[str, float]) -> np.ndarray:
    task = make_task(method, prepared, train_view(method, prepared), prepared.examples.rows("val")[:0], Seed(("s",)))
    (predictor,) = method.fit(task, config)
    return predictor.logits(view_of(method, prepared, "evaluation", prepared.examples.rows("test"))).numpy()


def columns(prepared: Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    examples = prepared.examples
    assert examples.features is not None
    x = examples.features.embeddings.astype(np.float64)
    train, test = examples.rows("train"), examples.rows("test")
    return x[train], examples.y[train], examples.groups[train], x[test]


def test_erm_is_scikit_learns_standardised_logistic_regression(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    x, y, _, test = columns(prepared)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000, tol=1e-10)).fit(x, y)
    ours = logits_on_test(ERM(), prepared, {"C": 0.1})
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], reference.decision_function(test), atol=1e-3)


def test_rwg_equals_repeating_every_group_to_the_same_mass(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(40, 20, 10, 40))
    x, y, groups, test = columns(prepared)
    copies = np.repeat(np.arange(len(x)), (40 // np.array([40, 20, 10, 40]))[groups])
    scaler = StandardScaler().fit(x)
    # Weights N/(G n_g) average one; repeating multiplies the data, so the penalty is scaled to match.
    scale = len(x) / len(copies)
    reference = LogisticRegression(C=0.1 * scale, max_iter=5000, tol=1e-10).fit(scaler.transform(x)[copies], y[copies])
    ours = logits_on_test(RWG(), prepared, {"C": 0.1})
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], reference.decision_function(scaler.transform(test)), atol=2e-3)


def test_subg_fits_on_one_balanced_subset_that_its_seed_decides(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    first, again = (logits_on_test(SUBG(), prepared, {"C": 1.0}) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    equal = make_prepared(train=(9, 9, 9, 9))
    x, y, _, test = columns(equal)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-10)).fit(x, y)
    ours = logits_on_test(SUBG(), equal, {"C": 1.0})
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], reference.decision_function(test), atol=1e-3)


def test_zero_shot_is_the_scaled_cosine_with_the_class_texts(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    assert prepared.text is not None
    _, _, _, test = columns(prepared)
    unit = test / np.linalg.norm(test, axis=1, keepdims=True)
    expected = 100.0 * unit @ prepared.text.class_vectors.double().numpy().T
    np.testing.assert_allclose(logits_on_test(ZeroShot(), prepared, {}), expected, atol=1e-4)


@pytest.mark.parametrize("method", [ERM(), RWG(), SUBG()])
def test_permuting_the_rows_changes_no_prediction(method: Method, make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(20, 20, 20, 20))
    examples = prepared.examples
    assert examples.features is not None
    order = np.random.default_rng(3).permutation(len(examples))
    x = examples.features.embeddings[order]
    moved = Prepared(
        prepared.card,
        type(examples)(
            [examples.ids[i] for i in order],
            examples.y[order],
            examples.a[order],
            examples.split[order],
            2,
            2,
            features=type(examples.features)("toy", x, examples.features.class_text),
        ),
        type(prepared.source)(x),  # type: ignore[call-arg]
        prepared.text,
        ("toy", "own"),
        torch.device("cpu"),
    )
    before = logits_on_test(method, prepared, {"C": 1.0})
    after = logits_on_test(method, moved, {"C": 1.0})
    where = {row: i for i, row in enumerate(moved.examples.rows("test"))}
    back = [where[int(np.flatnonzero(order == row)[0])] for row in examples.rows("test")]
    np.testing.assert_allclose(after[back], before, atol=1e-2)
