"""Worst-group accuracy's parts against plain loops, other people's formulas and sampling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from spurbench.metrics import worst_group_accuracy
from spurbench.stats import Outcomes, worst_group
from spurbench.stats.minimum import contenders, expected_minimum, shares_of_least
from spurbench.stats.outcomes import spread
from spurbench.stats.width import effective_degrees, half_width

from .stats_worlds import CELEBA, World


@st.composite
def small(draw: st.DrawFn, methods: int = 1) -> tuple[Outcomes, ...]:
    seeds, n, k = draw(st.integers(1, 4)), draw(st.integers(1, 24)), draw(st.integers(1, 3))
    groups = np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return tuple(Outcomes(rng.random((seeds, n)) < rng.choice([0.3, 0.8, 1.0]), groups) for _ in range(methods))


def loops(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean products of examples over S n, and of the interaction over n, of one group, from their definitions."""
    S, n = a.shape
    shared = residual = 0.0
    for i in range(n):
        shared += S * (a[:, i].mean() - a.mean()) * (b[:, i].mean() - b.mean())
    for s, i in product(range(S), range(n)):
        left = a[s, i] - a[s].mean() - a[:, i].mean() + a.mean(), b[s, i] - b[s].mean() - b[:, i].mean() + b.mean()
        residual += left[0] * left[1]
    return shared / (n - 1) / (S * n), residual / ((n - 1) * (S - 1)) / n


@given(small(methods=2))
def test_spread_is_the_two_way_layout(pair: tuple[Outcomes, Outcomes]) -> None:
    a, b = pair
    for one, other in ((a, a), (a, b)):
        found = spread(one, other)
        for place, group in enumerate(np.unique(a.groups)):
            inside = a.groups == group
            if a.seeds > 1 and inside.sum() > 1:
                expected = loops(one.right[:, inside], other.right[:, inside])
                assert (found.shared[place], found.residual[place]) == pytest.approx(expected, abs=1e-12)


def test_one_seed_has_the_variance_of_a_proportion_and_one_example_the_largest() -> None:
    found = Outcomes(np.array([[True, True, False, True]]), np.array([7, 7, 7, 2])).spread
    assert found.shared == pytest.approx([0.25, (2 / 3) * (1 / 3) / 2])
    assert found.residual == pytest.approx([0, 0])


@given(st.floats(-0.2, 0.2), st.floats(0.01, 0.1), st.floats(0.01, 0.1))
def test_the_minimum_of_two_is_clarks(gap: float, first: float, second: float) -> None:
    """Clark 1961: E min = m1 P(1 is least) + m2 P(2 is least) - a phi(gap / a), a the deviation of the difference."""
    means, deviations = np.array([[0.8, 0.8 + gap]]), np.array([first, second])
    a = np.hypot(first, second)
    expected = 0.8 * norm.cdf(gap / a) + (0.8 + gap) * norm.cdf(-gap / a) - a * norm.pdf(gap / a)
    assert expected_minimum(means, deviations)[0] == pytest.approx(expected, abs=1e-6)
    share, square = shares_of_least(means, deviations)
    assert share == pytest.approx([norm.cdf(gap / a), norm.cdf(-gap / a)], abs=2e-3)
    assert square == pytest.approx(share)


def test_shares_of_the_least_are_what_sampling_finds() -> None:
    rng = np.random.default_rng(0)
    means, deviations = 0.8 + 0.03 * rng.normal(size=(5, 4)), np.array([0.01, 0.02, 0.03, 0.05])
    drawn = means[None] + deviations * rng.normal(size=(100_000, 1, 4))
    worst = np.stack([(drawn.argmin(axis=2) == g).mean(axis=1) for g in range(4)], axis=1)
    share, square = shares_of_least(means, deviations)
    assert share == pytest.approx(worst.mean(axis=0), abs=5e-3)
    assert square == pytest.approx((worst**2).mean(axis=0), abs=5e-3)
    assert expected_minimum(means, deviations) == pytest.approx(drawn.min(axis=2).mean(axis=0), abs=5e-4)


def test_a_group_that_cannot_be_the_worst_is_left_out_without_a_trace() -> None:
    means, deviations = np.array([[0.5, 0.52, 0.95], [0.6, 0.55, 0.94]]), np.array([0.02, 0.02, 0.01])
    assert contenders(means, deviations).tolist() == [True, True, False]
    few = means[:, :2], deviations[:2]
    assert expected_minimum(means, deviations) == pytest.approx(expected_minimum(*few), abs=1e-9)
    assert shares_of_least(means, deviations)[1][:2] == pytest.approx(shares_of_least(*few)[1], abs=1e-9)


@pytest.mark.parametrize("tail", [0.025, 0.1])
def test_one_source_alone_has_its_own_interval(tail: float) -> None:
    assert half_width(0.04, 0, 0, 4, tail) == pytest.approx(student.isf(tail, 4) * 0.2)
    assert half_width(0, 0.04, 0, 4, tail) == pytest.approx(norm.isf(tail) * 0.2)
    assert half_width(0.03, 0.04, 0.03, np.inf, tail) == pytest.approx(norm.isf(tail) * 0.2)
    assert half_width(0, 0.04, 0.04, 4, tail) == pytest.approx(norm.isf(tail) * 0.1)


@pytest.mark.parametrize("degrees", [2, 4, 9])
@pytest.mark.parametrize("shared", [0.3, 3.0, 30.0])
def test_the_width_covers_as_often_as_it_says(degrees: int, shared: float) -> None:
    rng = np.random.default_rng(degrees)
    repeats = 3000
    seeds = rng.chisquare(degrees, repeats) / degrees
    off = rng.normal(size=repeats) * np.sqrt(1 + shared)
    covered = np.mean([abs(x) <= half_width(a, shared, 0, degrees, 0.025) for x, a in zip(off, seeds, strict=True)])
    assert 0.93 < covered < 0.975


def test_degrees_of_the_sum_are_satterthwaites() -> None:
    assert effective_degrees(0.3, 0.2, 4) == pytest.approx(0.5**2 / (0.3**2 / 4))
    assert effective_degrees(0.3, 0, 4) == 4
    assert effective_degrees(0, 0.2, 4) == np.inf


@given(st.integers(0, 60), st.floats(0.5, 0.99), st.integers(1, 3))
def test_one_group_of_a_deterministic_method_has_wilsons_interval(right: int, confidence: float, seeds: int) -> None:
    row = np.arange(60) < right
    found = worst_group(Outcomes(np.tile(row, (seeds, 1)), np.zeros(60, int)), confidence)
    expected = binomtest(right, 60).proportion_ci(confidence, method="wilson")
    # The variance of a sample has 59 for 60.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=3e-3)
    assert (found.estimate, found.bias, found.corrected) == pytest.approx((right / 60, 0, right / 60), abs=1e-12)
    assert found.low < found.high
    assert found.degrees == np.inf
    assert found.error_seeds == (None if seeds == 1 else 0)
    assert found.error_examples == pytest.approx(np.sqrt(right * (60 - right) / 60**2 / 59))


@given(small())
def test_the_estimate_is_what_the_board_prints(only: tuple[Outcomes]) -> None:
    outcomes = only[0]
    k = int(outcomes.groups.max()) + 1
    total = np.bincount(outcomes.groups, minlength=k).tolist()
    printed = [
        worst_group_accuracy(np.bincount(outcomes.groups[row], minlength=k).tolist(), total) for row in outcomes.right
    ]
    found = worst_group(outcomes)
    assert found.estimate == pytest.approx(np.mean(printed), abs=1e-12)
    assert found.corrected == pytest.approx(found.estimate - found.bias, abs=1e-12)
    assert found.bias <= 1e-12
    assert 0 <= found.low <= found.estimate <= found.corrected <= found.high <= 1
    assert found.low < found.high


@given(small(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_orders_and_numbers_mean_nothing(only: tuple[Outcomes], seed: int) -> None:
    outcomes, rng = only[0], np.random.default_rng(seed)
    seeds, examples = rng.permutation(outcomes.seeds), rng.permutation(len(outcomes.groups))
    names = rng.choice(1000, 3, replace=False) - 500
    moved = Outcomes(outcomes.right[seeds][:, examples], names[outcomes.groups][examples])
    expected, found = worst_group(outcomes), worst_group(moved)
    for name in ("estimate", "bias", "corrected", "low", "high", "error_examples"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9)
    assert (found.error_seeds or 0) == pytest.approx(expected.error_seeds or 0, abs=1e-7)


def test_a_clear_worst_group_has_no_bias_and_tied_ones_have_one() -> None:
    rng = np.random.default_rng(1)
    clear = worst_group(World((0.97, 0.95, 0.93, 0.8)).outcomes(5, rng))
    assert -1e-6 < clear.bias <= 0
    tied = [worst_group(World((0.85,) * 4).outcomes(5, rng)) for _ in range(20)]
    # Of 1.1 points that four equal minima lie too low, resampling noise that is there already shows 0.4.
    assert -0.008 < np.mean([each.bias for each in tied]) < -0.003


def test_noise_of_single_seeds_is_told_from_what_seeds_differ_by() -> None:
    rng = np.random.default_rng(2)
    alike = World((0.85,) * 4, strength=0.3)
    found = [worst_group(alike.outcomes(10, rng)) for _ in range(20)]
    # Every seed's minimum lies 1.5 points too low though no seed is worse than another.
    assert np.mean([each.estimate for each in found]) < 0.842
    assert np.mean([each.corrected for each in found]) > 0.8425
    differing = World((0.97, 0.95, 0.93, 0.8), deviation=0.03)
    errors = [worst_group(differing.outcomes(10, rng)).error_seeds or 0 for _ in range(20)]
    assert np.mean(errors) == pytest.approx(0.03 / np.sqrt(10), rel=0.2)


def test_a_perfect_method_is_not_certain() -> None:
    groups = np.repeat([0, 1], [1000, 40])
    found = worst_group(Outcomes(np.ones((3, 1040), bool), groups))
    assert (found.estimate, found.corrected, found.high) == (1, 1, 1)
    assert found.low < 0.96


def test_a_small_group_weighs_as_much_as_it_may_decide() -> None:
    """CelebA's smallest group is not the worst of the test set, but may well be of the population."""
    rng = np.random.default_rng(3)
    widths = []
    for small_group in (0.87, 0.99):
        found = worst_group(World((0.95, 0.95, 0.85, small_group), CELEBA).outcomes(3, rng))
        widths.append(found.estimate - found.low)
    assert widths[0] > 1.3 * widths[1]


@pytest.mark.parametrize(
    ("right", "groups", "message"),
    [
        (np.ones(4, bool), np.zeros(4, int), "bool matrix"),
        (np.ones((2, 4)), np.zeros(4, int), "bool matrix"),
        (np.ones((2, 4), bool), np.zeros(3, int), "groups must be 4 integers"),
        (np.ones((2, 4), bool), np.zeros(4), "groups must be 4 integers"),
        (np.ones((0, 4), bool), np.zeros(4, int), "nothing to estimate from in 0 seeds x 4 examples"),
        (np.ones((2, 0), bool), np.zeros(0, int), "nothing to estimate from in 2 seeds x 0 examples"),
    ],
)
def test_what_is_no_outcomes_is_refused(right: NDArray[np.bool_], groups: NDArray[np.intp], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Outcomes(right, groups)
