"""Comparisons of two methods against McNemar's test, plain loops and what must hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, ttest_1samp
from scipy.stats import t as student

from spurbench.stats import Difference, Outcomes, compare_accuracy, compare_worst, tied_with_best, worst_group

from .stats_worlds import CELEBA, WATERBIRDS, World
from .test_stats_worst import small

FIELDS = ("difference", "low", "high", "p", "error", "detectable")


def mcnemar_mid_p(more: int, less: int) -> float:
    """Fagerland, Lydersen and Laake 2013: twice the exact one-sided p, less the probability of what was seen."""
    fewest = min(more, less)
    return float(2 * binom.cdf(fewest, more + less, 0.5) - binom.pmf(fewest, more + less, 0.5))


def singles(both: int, more: int, less: int, neither: int) -> tuple[Outcomes, Outcomes]:
    """One seed of each of two methods in one group."""
    counts = [both, more, less, neither]
    groups = np.zeros(sum(counts), int)
    a, b = (
        np.repeat(np.array([right]), counts, axis=1)
        for right in ([True, True, False, False], [True, False, True, False])
    )
    return Outcomes(a, groups), Outcomes(b, groups)


@given(st.integers(100, 400), st.integers(10, 60), st.integers(10, 60))
def test_one_seed_is_compared_as_by_mcnemar(both: int, more: int, less: int) -> None:
    found = compare_accuracy(*singles(both, more, less, 40))
    n = both + more + less + 40
    assert found.difference == pytest.approx((more - less) / n)
    assert found.p == pytest.approx(min(mcnemar_mid_p(more, less), 1), abs=0.03)
    # Bonett and Price 2012 without their n + 2.
    variance = (more + less + 2 - (more - less) ** 2 / n) / n**2
    assert found.error == pytest.approx(np.sqrt(variance), rel=1 / n)
    assert found.low == pytest.approx(found.difference - norm.isf(0.025) * found.error)


def test_many_examples_leave_the_paired_t_test_over_seeds() -> None:
    """Two methods without an error in common of examples: what is left of the variance is the seeds'."""
    rng = np.random.default_rng(0)
    counts = rng.integers(4000, 9000, size=(2, 6))
    rows = [[np.random.default_rng(9).permutation(20_000) < count for count in side] for side in counts]
    a, b = (Outcomes(np.array(side), np.zeros(20_000, int)) for side in rows)
    expected = ttest_1samp((counts[0] - counts[1]) / 20_000, 0)
    found = compare_accuracy(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, abs=0.01)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=3e-3)


def test_pairing_is_of_examples_also_where_the_worst_groups_differ() -> None:
    """a is worst on group 0 and b on group 1: what varies is a on the one and b on the other, independently."""
    rng = np.random.default_rng(1)
    groups = np.repeat([0, 1], 500)
    a = Outcomes(rng.random((1, 1000)) < np.where(groups == 0, 0.6, 0.95), groups)
    b = Outcomes(rng.random((1, 1000)) < np.where(groups == 1, 0.6, 0.95), groups)
    p, q = a.accuracies[0, 0], b.accuracies[0, 1]
    assert compare_worst(a, b).error == pytest.approx(np.sqrt((p * (1 - p) + q * (1 - q)) / 500), rel=0.02)
    alike = Outcomes(a.right ^ (rng.random((1, 1000)) < 0.02), groups)
    assert compare_worst(a, alike).error < 0.4 * compare_worst(a, b).error


@given(small(methods=2), st.floats(0.5, 0.99))
@settings(max_examples=60)
def test_the_other_way_round_is_the_same_with_a_minus(pair: tuple[Outcomes, Outcomes], confidence: float) -> None:
    for compare in (compare_worst, compare_accuracy):
        one, other = compare(*pair, confidence), compare(*pair[::-1], confidence)
        assert (one.difference, one.low, one.high) == pytest.approx(
            (-other.difference, -other.high, -other.low), abs=1e-12
        )
        assert (one.p, one.error, one.detectable) == pytest.approx((other.p, other.error, other.detectable), abs=1e-12)


@given(small(methods=2), st.floats(0.5, 0.99))
@settings(max_examples=60)
def test_p_and_the_interval_say_the_same(pair: tuple[Outcomes, Outcomes], confidence: float) -> None:
    for compare in (compare_worst, compare_accuracy):
        found = compare(*pair, confidence)
        assert -1 <= found.low < found.high <= 1
        assert 0 <= found.p <= 1
        if abs(found.p - (1 - confidence)) > 1e-9:
            assert (found.p < 1 - confidence) == (not found.low <= 0 <= found.high)
        assert found.detectable > min(found.error, 0.99)


@given(small(methods=2), st.integers(0, 2**32))
@settings(max_examples=60)
def test_orders_and_numbers_mean_nothing(pair: tuple[Outcomes, Outcomes], seed: int) -> None:
    rng, (a, b) = np.random.default_rng(seed), pair
    seeds, examples = rng.permutation(a.seeds), rng.permutation(len(a.groups))
    names = rng.choice(1000, 3, replace=False) - 500
    moved = [Outcomes(each.right[seeds][:, examples], names[each.groups][examples]) for each in pair]
    for compare in (compare_worst, compare_accuracy):
        expected, found = compare(a, b), compare(*moved)
        for name in FIELDS:
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9), name


def test_a_method_does_not_differ_from_itself_but_could() -> None:
    only = World((0.9, 0.8, 0.85, 0.7)).outcomes(3, np.random.default_rng(2))
    found = compare_worst(only, only)
    assert (found.difference, found.p) == (0, 1)
    # Two of the 642 examples of the worst group.
    assert found.error == pytest.approx(np.sqrt(2) / 642, rel=1e-3)
    assert 0 < -found.low == found.high < 0.006


def test_a_large_difference_is_certain_to_many_digits() -> None:
    rng = np.random.default_rng(3)
    found = compare_worst(World((0.9,) * 4).outcomes(10, rng), World((0.5,) * 4).outcomes(10, rng))
    assert 0 < found.p < 1e-15


def test_what_cannot_be_compared_is_refused() -> None:
    rng = np.random.default_rng(4)
    a = World((0.9,) * 4).outcomes(2, rng)
    with pytest.raises(ValueError, match="2 seeds x 5794 examples with 3 x 5794"):
        compare_worst(World((0.9,) * 4, WATERBIRDS).outcomes(2, rng), World((0.9,) * 4, WATERBIRDS).outcomes(3, rng))
    with pytest.raises(ValueError, match="of other groups"):
        compare_worst(a, Outcomes(a.right, a.groups[::-1].copy()))


def test_tied_with_best_is_holm_over_comparisons_with_the_best() -> None:
    rng = np.random.default_rng(5)
    difficulty = World((0.9,) * 4).difficulty(rng)
    worlds = [World((0.95, 0.95, 0.9, worst)) for worst in (0.7, 0.80, 0.805, 0.55)]
    methods = [world.outcomes(5, rng, difficulty) for world in worlds]
    methods.sort(key=lambda each: -worst_group(each).estimate)
    standings = tied_with_best(methods)
    # Intervals of three comparisons hold together.
    compared = {i: compare_worst(methods[0], methods[i], 1 - 0.05 / 3) for i in (1, 2, 3)}
    assert standings[0].difference is standings[0].adjusted is None
    assert {i: standings[i].difference for i in compared} == compared
    smallest = sorted(compared, key=lambda i: compared[i].p)
    assert standings[smallest[0]].adjusted == pytest.approx(3 * compared[smallest[0]].p)
    assert [each.tied for each in standings] == [True, True, False, False]
    assert all(found.low <= 0 <= found.high for i, found in compared.items() if standings[i].tied)
    assert tied_with_best([]) == []
    assert tied_with_best(methods[:1])[0].tied


def test_equal_methods_are_all_tied_whichever_comes_first() -> None:
    only = World((0.9, 0.9, 0.9, 0.8)).outcomes(3, np.random.default_rng(6))
    standings = tied_with_best([only] * 3)
    assert [each.tied for each in standings] == [True] * 3
    assert [each.difference is None for each in standings] == [True, False, False]


@pytest.mark.parametrize("degrees", np.linspace(2, 3, 400).tolist())
def test_no_number_of_degrees_breaks_the_search_for_p(degrees: float) -> None:
    """SciPy's quantiles far out are NaN for a few degrees between 2 and 3, and the search passes through there."""
    from spurbench.stats.pairs import _tail
    from spurbench.stats.width import t_quantile

    found = _tail(lambda tail: abs(t_quantile(degrees, tail)), 1.0)
    assert found == pytest.approx(float(student.sf(1.0, degrees)), rel=1e-6)


def test_ties_refuse_other_examples() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(ValueError, match="can be compared"):
        tied_with_best([World((0.9,) * 4).outcomes(2, rng), World((0.8,) * 4, CELEBA).outcomes(2, rng)])


def test_differences_are_plain_values() -> None:
    found = compare_worst(*singles(50, 4, 2, 5))
    assert found == Difference(*(getattr(found, name) for name in FIELDS))
    assert all(type(getattr(found, name)) is float for name in FIELDS)
