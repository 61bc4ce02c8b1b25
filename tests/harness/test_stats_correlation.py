"""Spearman's correlation against SciPy, its p-value against enumeration, its interval against the published formula."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, spearmanr

from spurbench.stats import rank_correlation

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=12)


@given(PAIRS)
@settings(deadline=None, max_examples=60)
def test_it_is_scipys_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = [a / 10 for a, _ in pairs], [b / 10 for _, b in pairs]
    found = rank_correlation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    assert found is not None
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.n == len(pairs)
    assert -1 <= found.low <= found.rho <= found.high <= 1
    assert 0 < found.p_value <= 1


@pytest.mark.parametrize("x", [[1, 2, 3, 4, 5, 6], [1, 1, 2, 3, 3, 5], [2, 9, 4, 4]])
def test_the_p_value_of_few_pairs_counts_every_order(x: list[float]) -> None:
    y = np.random.default_rng(len(x)).permutation(x).tolist()
    found = rank_correlation(x, y)
    assert found is not None
    reached = abs(spearmanr(x, y).statistic)
    orders = list(permutations(y))
    extreme = sum(abs(spearmanr(x, order).statistic) >= reached - 1e-9 for order in orders)
    assert found.p_value == pytest.approx(extreme / len(orders))


def test_the_p_value_of_many_pairs_is_scipys_permutation_test() -> None:
    random = np.random.default_rng(4)
    x = random.random(15)
    y = x + random.normal(0, 0.45, 15)
    found = rank_correlation(x.tolist(), y.tolist())
    expected = permutation_test(
        (x,), lambda side: float(spearmanr(side, y).statistic), permutation_type="pairings", n_resamples=3_000, rng=0
    )
    assert found is not None
    assert 0.01 < found.p_value < 0.3
    # Shares of 10,000 and of 3,000 draws.
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_the_interval_is_bonett_and_wrights() -> None:
    x = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    y = [2, 1, 4, 3, 7, 5, 6, 10, 8, 9]
    rho = 1 - 6 * sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / (10 * 99)
    found = rank_correlation(x, y)
    assert found is not None
    assert found.rho == pytest.approx(rho)
    half = 1.959963985 * math.sqrt((1 + rho**2 / 2) / 7)
    assert (found.low, found.high) == pytest.approx(
        (math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))
    )
    wider = rank_correlation(x, y, 0.99)
    assert wider is not None
    assert wider.low < found.low < found.high < wider.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random, repeats, held = np.random.default_rng(5), 400, 0
    # Of the bivariate normal distribution (Pearson 1907).
    truth = 6 / math.pi * math.asin(0.5 / 2)
    for _ in range(repeats):
        x = random.standard_normal(20)
        y = 0.5 * x + math.sqrt(0.75) * random.standard_normal(20)
        ranked = rank_correlation(x.tolist(), y.tolist())
        assert ranked is not None
        held += ranked.low <= truth <= ranked.high
    assert held / repeats == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("n", [4, 5, 8, 20])
def test_ranks_that_agree_fully_are_still_uncertain(n: int) -> None:
    found = rank_correlation(list(range(n)), list(range(n)))
    turned = rank_correlation(list(range(n)), list(range(n, 0, -1)))
    assert found is not None
    assert turned is not None
    assert (found.rho, found.high) == pytest.approx((1, 1))
    assert found.low < 1 - 1 / n**3
    assert (turned.rho, turned.low, turned.high) == pytest.approx((-found.rho, -found.high, -found.low))
    assert found.p_value == pytest.approx(2 / math.factorial(n) if n <= 8 else 1e-4)


@pytest.mark.parametrize("n", [7, 12])
def test_the_order_of_pairs_changes_no_bit_and_signs_turn_it_round(n: int) -> None:
    random = np.random.default_rng(n)
    x, y, order = random.random(n), random.random(n).round(1), random.permutation(n)
    found = rank_correlation(x.tolist(), y.tolist())
    assert rank_correlation(x[order].tolist(), y[order].tolist()) == found
    turned = rank_correlation(x.tolist(), (-y).tolist())
    assert found is not None
    assert turned is not None
    assert turned.rho == pytest.approx(-found.rho)


def test_ranks_are_of_numbers_that_are_equal_on_paper() -> None:
    almost = [0.1 + 0.2, 0.3, 0.5, 0.7, 0.9]
    assert rank_correlation(almost, [1, 2, 3, 4, 5]) == rank_correlation([0.3, 0.3, 0.5, 0.7, 0.9], [1, 2, 3, 4, 5])


def test_a_gain_ranks_as_the_value_itself() -> None:
    random = np.random.default_rng(0)
    x, y = random.random(9), random.random(9)
    assert rank_correlation((x - x[0]).tolist(), (y - y[0]).tolist()) == rank_correlation(x.tolist(), y.tolist())


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 2, 3]), ([], []), ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])])
def test_too_little_is_none(x: list[float], y: list[float]) -> None:
    assert rank_correlation(x, y) is None
    assert rank_correlation(y, x) is None


@pytest.mark.parametrize("wrong", [[1, 2, 3], [1, 2, 3, math.nan], [1, 2, 3, math.inf]])
def test_what_has_no_rank_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="finite|inhomogeneous"):
        rank_correlation([1, 2, 3, 4], wrong)
