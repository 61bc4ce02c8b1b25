"""Estimates over seeds against scipy.stats and against the truth they claim to cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spurbench.stats import estimate

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=12)


@given(VALUES, st.floats(0.5, 0.999))
def test_the_interval_is_students(values: list[float], confidence: float) -> None:
    found = estimate(values, confidence)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error
    assert (found.low, found.high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=1e-9)
    if error > 1e-9:
        interval = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=error)
        assert (found.low, found.high) == pytest.approx(interval)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int, confidence: float) -> None:
    repeats = 3000
    samples = np.random.default_rng(n).normal(0.7, 0.05, size=(repeats, n))
    estimates = [estimate(list(sample), confidence) for sample in samples]
    covered = np.mean([e.low is not None and e.high is not None and e.low <= 0.7 <= e.high for e in estimates])
    assert abs(covered - confidence) < 4 * np.sqrt(confidence * (1 - confidence) / repeats)


def test_the_default_confidence_is_95_percent() -> None:
    assert estimate([0.1, 0.4, 0.5]) == estimate([0.1, 0.4, 0.5], 0.95)


def test_one_seed_says_nothing_of_the_spread() -> None:
    found = estimate([0.25])
    assert (found.mean, found.std, found.low, found.high) == (0.25, None, None, None)


def test_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@given(st.floats(0, 1), st.integers(2, 10))
def test_equal_values_have_no_spread(value: float, n: int) -> None:
    found = estimate([value] * n)
    assert found.mean == pytest.approx(value)
    assert found.std == pytest.approx(0, abs=1e-15)
    assert found.low == pytest.approx(found.high)


@given(VALUES.flatmap(lambda values: st.tuples(st.just(values), st.permutations(values))))
def test_the_order_of_seeds_does_not_change_a_bit(both: tuple[list[float], list[float]]) -> None:
    assert estimate(both[0]) == estimate(both[1])
