"""Calibration error and AUROC from counts, against loops over examples and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from spurbench.calibration import BINS, Scores, auroc, calibration_error, fits, score

Array = NDArray[np.float64]


def example(seed: int, n: int, k: int, spread: float) -> tuple[Array, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    y = random.integers(0, k, n)
    logits = random.normal(scale=spread, size=(n, k))
    logits[np.arange(n), y] += random.normal(spread / 2, 1, n)
    # Multiples of powers of two, with more ties or fewer: shifting them rounds nothing.
    grid = 2.0 ** random.integers(0, 8)
    return np.rint(logits * grid) / grid, y


def counted(logits: Array, y: NDArray[np.int64]) -> Scores:
    return score(logits, y, logits.argmax(axis=1))


def by_hand(logits: Array, y: NDArray[np.int64]) -> float:
    """Equation 3 of Guo et al. 2017, bin after bin."""
    error = 0.0
    parts = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in logits]
    for b in range(BINS):
        inside = [i for i, p in enumerate(parts) if b / BINS < p.max() <= (b + 1) / BINS]
        if inside:
            right = sum(int(np.argmax(parts[i])) == y[i] for i in inside) / len(inside)
            error += len(inside) / len(y) * abs(right - sum(parts[i].max() for i in inside) / len(inside))
    return error


@given(st.integers(0, 10**6), st.integers(4, 60), st.integers(2, 5), st.floats(0.1, 20))
def test_counts_give_what_the_definition_gives(seed: int, n: int, k: int, spread: float) -> None:
    logits, y = example(seed, n, k, spread)
    scores = counted(logits, y)
    assert calibration_error(scores) == pytest.approx(by_hand(logits, y), abs=BINS * 5e-4 / n + 1e-9)
    totals = np.bincount(y, minlength=k).tolist()
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    present = [c for c in range(k) if 0 < totals[c] < n]
    found = auroc(scores, totals)
    if spread < 5 and present:
        expected = np.mean([roc_auc_score(y == c, probabilities[:, c].round(12)) for c in present])
        assert found == pytest.approx(expected, abs=2 / n)
    assert (found is None) == (not present)


def test_two_classes_agree_with_scikit_learn_to_the_last_digit_and_do_not_saturate() -> None:
    # Probabilities of 1 to the last digit, told apart by their logits alone.
    logits = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, 70.0], [0.0, -80.0], [0.0, 55.0]])
    y = np.array([0, 1, 1, 0, 1])
    scores = counted(logits, y)
    assert auroc(scores, [2, 3]) == roc_auc_score(y, logits[:, 1] - logits[:, 0]) == 1.0
    tied, y = np.repeat([[0.0, 1.0], [0.0, 2.0]], 3, axis=0), np.array([0, 0, 1, 0, 1, 1])
    assert auroc(counted(tied, y), [3, 3]) == pytest.approx(roc_auc_score(y, tied[:, 1]), abs=1e-15)


@given(st.integers(0, 10**6), st.integers(2, 4))
def test_the_order_of_examples_and_a_shift_of_all_logits_are_no_matter(seed: int, k: int) -> None:
    logits, y = example(seed, 40, k, 3.0)
    order = np.random.default_rng(seed).permutation(40)
    scores = counted(logits, y)
    assert counted(logits[order], y[order]).pairs == scores.pairs
    moved = counted(logits + 8.0, y)
    assert moved.pairs == scores.pairs
    assert calibration_error(moved) == pytest.approx(calibration_error(scores), abs=1e-9)


def test_a_method_that_is_sure_and_right_half_the_time_is_off_by_a_half() -> None:
    logits, y = np.array([[0.0, 90.0]] * 10), np.array([0, 1] * 5)
    assert calibration_error(counted(logits, y)) == pytest.approx(0.5)
    assert calibration_error(counted(np.zeros((10, 2)), y)) == 0
    assert auroc(counted(np.zeros((10, 2)), y), [5, 5]) == 0.5


def test_one_class_alone_ranks_nothing_and_what_cannot_be_chosen_is_never_sure() -> None:
    assert auroc(counted(np.zeros((3, 2)), np.zeros(3, np.int64)), [3, 0]) is None
    masked = np.array([[2.0, -np.inf, 1.0], [-np.inf, 3.0, -np.inf], [0.0, -np.inf, 1.0]])
    scores = counted(masked, np.array([0, 1, 2]))
    assert sum(part.total for part in scores.bins) == 3
    assert scores.bins[-1].confidence == 1.0
    assert auroc(scores, [1, 1, 1]) == 1.0
    assert all(math.isfinite(part.confidence) for part in scores.bins)


def test_scores_that_cannot_belong_to_a_result_are_told() -> None:
    logits, y = example(3, 40, 2, 2.0)
    scores = counted(logits, y)
    right = logits.argmax(axis=1) == y
    total = np.bincount(y, minlength=2).tolist()
    correct = np.bincount(y[right], minlength=2).tolist()
    assert fits(scores, correct, total, 2)
    assert not fits(scores, [correct[0] - 1, correct[1]], total, 2)
    assert not fits(scores, correct, [total[0] + 1, total[1]], 2)
    assert not fits(scores.model_copy(update={"pairs": [2 * total[0] * total[1] + 1] * 2}), correct, total, 2)
