"""The shared solvers against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from spurbench.errors import ConfigurationError, MethodError
from spurbench.heads import Standardiser, _l1_argument, average_heads, balanced_subset, fit_logistic


def blobs(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    return rng.normal(size=(n, d)) + 1.5 * np.eye(k, d)[y], y


@pytest.mark.parametrize("k", [2, 3, 5])
def test_l2_head_predicts_the_probabilities_of_scikit_learn(k: int) -> None:
    x, y = blobs(300, 8, k)
    weights = np.random.default_rng(1).uniform(0.2, 3, size=300)
    weight, bias = fit_logistic(x, y, k, c=0.3, sample_weight=weights)
    reference = LogisticRegression(C=0.3, max_iter=5000, tol=1e-10).fit(x, y, weights)
    ours = torch.softmax(torch.from_numpy(x @ weight.T + bias), dim=1).numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("c", [10.0, 0.001])
@pytest.mark.parametrize("d", [20, 1300])
def test_weak_penalties_are_not_cut_short(c: float, d: int) -> None:
    """The penalised loss has no gradient left, by either solver: stopping early would be a penalty of its own."""
    x, y = blobs(150, d, 2, seed=4)
    weight, bias = fit_logistic(x, y, 2, c=c)
    w = weight[1] - weight[0]
    p = 1 / (1 + np.exp(-(x @ w + bias[1] - bias[0])))
    gradient = c * x.T @ (p - y) + w
    assert np.abs(gradient).max() < 1e-3 * max(np.abs(w).max(), 1e-2)


def test_l1_head_is_liblinears() -> None:
    x, y = blobs(200, 10, 2)
    weight, bias = fit_logistic(x, y, 2, c=0.1, penalty="l1", seed=3)
    reference = LogisticRegression(C=0.1, solver="liblinear", random_state=3, **_l1_argument()).fit(x, y)
    np.testing.assert_allclose(weight[1] - weight[0], reference.coef_[0])
    np.testing.assert_allclose(bias[1] - bias[0], reference.intercept_[0])
    assert (weight == 0).any(), "an L1 penalty this strong leaves zeros"


def test_l1_head_of_more_classes_is_one_against_the_rest() -> None:
    x, y = blobs(240, 6, 4)
    weight, bias = fit_logistic(x, y, 4, c=0.5, penalty="l1", seed=7)
    estimator = LogisticRegression(C=0.5, solver="liblinear", random_state=7, **_l1_argument())
    reference = OneVsRestClassifier(estimator).fit(x, y)
    np.testing.assert_array_equal((x @ weight.T + bias).argmax(axis=1), reference.predict(x))


def test_a_class_without_examples_is_an_error_that_names_what_occurs() -> None:
    x, y = blobs(50, 4, 2)
    with pytest.raises(MethodError, match=r"only \[0, 1\] of 3 occur"):
        fit_logistic(x, y, 3, c=1.0)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_solver_that_stops_early_is_an_error_not_a_result(penalty: str) -> None:
    x, y = blobs(400, 30, 2)
    with pytest.raises(ConfigurationError, match="did not converge in 1 iterations"):
        fit_logistic(x, y, 2, c=100.0, penalty=penalty, max_iter=1)  # type: ignore[arg-type]


def test_standardiser_is_scikit_learns_and_folding_it_changes_nothing() -> None:
    x, y = blobs(100, 5, 3)
    x[:, 4] = 7.0
    scaler = Standardiser.fit(x)
    np.testing.assert_allclose(scaler(x), StandardScaler().fit_transform(x), atol=1e-12)
    weight, bias = fit_logistic(scaler(x), y, 3, c=1.0)
    folded = scaler.fold(weight, bias)
    raw = x @ folded.weight.double().numpy().T + folded.bias.double().numpy()
    np.testing.assert_allclose(raw, scaler(x) @ weight.T + bias, atol=1e-4)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 99))
def test_a_balanced_subset_has_as_many_of_each_label_as_the_rarest_has(labels: list[int], seed: int) -> None:
    column = np.array(labels, dtype=np.int64)
    kept = balanced_subset(column, 4, np.random.default_rng(seed))
    smallest = min(labels.count(label) for label in set(labels))
    assert len(set(kept.tolist())) == len(kept)
    assert {label: int((column[kept] == label).sum()) for label in set(labels)} == dict.fromkeys(set(labels), smallest)


def test_average_of_heads_is_the_mean_of_their_coefficients() -> None:
    heads = [(np.full((2, 3), float(i)), np.full(2, 2.0 * i)) for i in range(4)]
    weight, bias = average_heads(heads)
    np.testing.assert_array_equal(weight, np.full((2, 3), 1.5))
    np.testing.assert_array_equal(bias, np.full(2, 3.0))
