"""Means per group over crossed seeds and examples against SciPy's bootstrap, brute force and known truths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap
from scipy.stats import t as student

from spurbench.stats import Interval, group_means
from spurbench.stats.means import MOST_DRAWN

Floats = NDArray[np.float64]


def world(
    random: np.random.Generator, seeds: int, examples: int, of_seeds: float, of_both: float, mean: float = 0.4
) -> Floats:
    """(S, n) shares about a mean; examples vary skewly, by a standard deviation of 0.1."""
    rows, columns = random.normal(0, 1, (seeds, 1)), random.exponential(0.1, (1, examples)) - 0.1
    return np.clip(mean + of_seeds * rows + columns + of_both * random.normal(0, 1, (seeds, examples)), 0, 1)


def width(found: Interval) -> float:
    return found.high - found.low


@given(st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_means_are_those_of_plain_loops(seeds: int, members: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).random((seeds, len(members)))
    found = group_means(values, np.array(members), 5)
    means = []
    for group in range(5):
        own = [values[s, i] for s in range(seeds) for i, member in enumerate(members) if member == group]
        interval = found.groups[group]
        assert (interval is None) == (not own)
        if interval is not None:
            means.append(sum(own) / len(own))
            assert interval.mean == pytest.approx(means[-1])
            assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert found.balanced.mean == pytest.approx(sum(means) / len(means))
    assert 0 <= found.balanced.low <= found.balanced.mean <= found.balanced.high <= 1


@pytest.mark.parametrize("n", [MOST_DRAWN, 4 * MOST_DRAWN + 7])
@pytest.mark.parametrize("skewed", [False, True])
def test_of_one_seed_it_is_scipys_percentile_bootstrap(n: int, skewed: bool) -> None:
    random = np.random.default_rng(n)
    values = random.random(n) ** (12 if skewed else 1)
    found = group_means(values[None], np.zeros(n, int), 1).groups[0]
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=9_999, rng=0).confidence_interval
    assert found is not None
    # A quantile of 2,000 draws is off by 2 % of the width, the parts of a large group add as much.
    margin = 0.05 * (expected.high - expected.low)
    assert found.low == pytest.approx(expected.low, abs=margin)
    assert found.high == pytest.approx(expected.high, abs=margin)


@pytest.mark.parametrize("n", [3, 6, 15])
def test_of_one_seed_and_few_examples_it_is_as_wide_as_students_t(n: int) -> None:
    values = np.linspace(0.45, 0.55, n)[None]
    found = group_means(values, np.zeros(n, int), 1).balanced
    expected = 2 * float(student.ppf(0.975, n - 1)) * values.std(ddof=1) / math.sqrt(n)
    # The bootstrap of so few has shorter tails than the normal distribution.
    assert width(found) == pytest.approx(expected, rel=0.13)


def test_a_skewed_group_has_a_skewed_interval() -> None:
    values = np.random.default_rng(3).random((1, 30)) ** 8
    found = group_means(values, np.zeros(30, int), 1).balanced
    assert found.high - found.mean > 1.1 * (found.mean - found.low)
    mirrored = group_means(1 - values, np.zeros(30, int), 1).balanced
    assert mirrored.mean - mirrored.low > 1.1 * (mirrored.high - mirrored.mean)


def test_the_variance_is_that_of_crossed_sources() -> None:
    """Against the spread of means over many worlds drawn anew, rather than over one that is drawn from again."""
    random = np.random.default_rng(1)
    worlds = [world(random, 10, 40, 0.03, 0.1) for _ in range(300)]
    spread = np.std([values.mean() for values in worlds])
    widths = [width(group_means(values, np.zeros(40, int), 1).balanced) for values in worlds[:60]]
    assert np.mean(widths) / (2 * 1.96 * spread) == pytest.approx(1.08, abs=0.12)


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "of_both"), [(1, 0.0, 0.1), (3, 0.05, 0.1), (5, 0.0, 0.2), (5, 0.05, 0.1)]
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(seeds: int, of_seeds: float, of_both: float) -> None:
    random, groups, truth = np.random.default_rng(seeds), np.repeat([0, 2], 30), 0.4
    held = np.zeros(2)
    repeats = 150
    for _ in range(repeats):
        found = group_means(world(random, seeds, 60, of_seeds, of_both), groups, 3)
        for place, interval in enumerate((found.groups[2], found.balanced)):
            assert interval is not None
            held[place] += interval.low <= truth <= interval.high
    # 0.95, and three standard errors of a share of 150.
    assert (held / repeats > 0.95 - 0.054).all()


@pytest.mark.simulation
@pytest.mark.parametrize("seeds", [1, 3, 5, 10])
@pytest.mark.parametrize("examples", [10, 60, 600])
@pytest.mark.parametrize("of_seeds", [0.0, 0.02, 0.1])
def test_intervals_hold_the_truth_as_the_docstring_says(seeds: int, examples: int, of_seeds: float) -> None:
    random, groups, held = np.random.default_rng(1), np.repeat([0, 1], examples // 2), np.zeros(2)
    for _ in range(400):
        found = group_means(world(random, seeds, examples, of_seeds if seeds > 1 else 0.0, 0.1), groups, 2)
        for place, interval in enumerate((found.groups[0], found.balanced)):
            assert interval is not None
            held[place] += interval.low <= 0.4 <= interval.high
    assert (held / 400 >= 0.92).all()
    assert (held / 400 <= 0.98).all()


def test_seeds_are_drawn_for_all_groups_at_once() -> None:
    """Seeds that are good on all groups alike widen the interval of the balanced mean more than those that are not."""
    effect, groups = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None], np.repeat([0, 1], 50)
    base = 0.5 + 0.01 * np.random.default_rng(0).standard_normal((5, 100))
    together = group_means(base + effect, groups, 2)
    against = group_means(base + effect * np.where(groups, -1, 1), groups, 2)
    assert width(together.balanced) > 0.3
    assert width(against.balanced) < 0.05
    for a, b in zip(together.groups, against.groups, strict=True):
        assert a is not None
        assert b is not None
        assert width(a) == pytest.approx(width(b), rel=0.1)


def test_no_order_changes_a_bit() -> None:
    random = np.random.default_rng(3)
    values, groups = world(random, 4, 3 * MOST_DRAWN, 0.05, 0.1), random.integers(0, 2, 3 * MOST_DRAWN)
    expected = group_means(values, groups, 3)
    assert group_means(values, groups, 3) == expected
    for _ in range(3):
        seeds, examples = random.permutation(4), random.permutation(len(groups))
        assert group_means(values[seeds][:, examples], groups[examples], 3) == expected


def test_more_confidence_is_wider_and_more_examples_are_narrower() -> None:
    random = np.random.default_rng(4)
    values, groups = world(random, 3, 400, 0.0, 0.1), np.zeros(400, int)
    found = [width(group_means(values, groups, 1, level).balanced) for level in (0.5, 0.8, 0.95, 0.99)]
    assert all(a < b for a, b in itertools.pairwise(found))
    few = values[:, :50]
    assert width(group_means(few, groups[:50], 1).balanced) > 1.8 * found[2]


@pytest.mark.parametrize("n", [2, 16, 100])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_a_run_of_hits_or_of_misses_is_as_uncertain_as_if_two_more_went_the_other_way(
    n: int, seeds: int, hit: float
) -> None:
    found = group_means(np.full((seeds, n), hit), np.zeros(n, int), 1).groups[0]
    assert found is not None
    share = 2 / (n + 2)
    half = float(student.ppf(0.975, n - 1)) * math.sqrt(share * (1 - share) / n)
    assert found.mean == hit
    assert found.low == pytest.approx(max(hit - half, 0))
    assert found.high == pytest.approx(min(hit + half, 1))


def hits(random: np.random.Generator, seeds: int, examples: int, probability: float) -> Floats:
    """(S, n) of 0 and 1; nine times in ten a seed does what the others do."""
    together = random.random((1, examples)) < probability
    alone = random.random((seeds, examples)) < probability
    return np.where(random.random((seeds, examples)) < 0.9, together, alone).astype(np.float64)


@pytest.mark.parametrize(("probability", "examples", "seeds"), [(0.95, 16, 5), (0.98, 50, 5), (0.9, 25, 1)])
def test_intervals_of_hits_hold_the_truth_about_as_often_as_they_say(
    probability: float, examples: int, seeds: int
) -> None:
    random, groups, held = np.random.default_rng(examples), np.repeat([0, 1], examples), np.zeros(2)
    repeats = 150
    for _ in range(repeats):
        found = group_means(hits(random, seeds, 2 * examples, probability), groups, 2)
        for place, interval in enumerate((found.groups[0], found.balanced)):
            assert interval is not None
            assert width(interval) > 0
            held[place] += interval.low <= probability <= interval.high
    assert (held / repeats > 0.95 - 0.054).all()


def test_a_few_values_at_an_end_make_no_hits_and_misses_of_the_others() -> None:
    values = np.linspace(0.9, 1.0, 30)[None]
    found = group_means(values, np.zeros(30, int), 1).balanced
    expected = 2 * float(student.ppf(0.975, 29)) * values.std(ddof=1) / math.sqrt(30)
    assert width(found) == pytest.approx(expected, rel=0.1)


def test_values_that_are_all_equal_have_no_width_and_a_single_example_has_all_of_it() -> None:
    same = group_means(np.full((3, 20), 0.7), np.zeros(20, int), 1).balanced
    assert (same.low, same.high) == pytest.approx((0.7, 0.7))
    alone = group_means(np.array([[0.5]]), np.zeros(1, int), 1).groups[0]
    assert alone is not None
    assert (alone.low, alone.high) == (0, 1)


@pytest.mark.parametrize(
    ("values", "groups", "message"),
    [
        (np.zeros((0, 3)), np.zeros(3, int), "seeds x examples"),
        (np.zeros((2, 0)), np.zeros(0, int), "seeds x examples"),
        (np.zeros(3), np.zeros(3, int), "seeds x examples"),
        (np.zeros((2, 3)), np.zeros(2, int), "seeds x examples"),
        (np.array([[0.5, np.nan]]), np.zeros(2, int), "shares"),
        (np.array([[0.5, 1.1]]), np.zeros(2, int), "shares"),
        (np.array([[0.5, -0.1]]), np.zeros(2, int), "shares"),
        (np.zeros((1, 2)), np.array([0, 2]), "numbered 0 to 1"),
        (np.zeros((1, 2)), np.array([-1, 0]), "numbered 0 to 1"),
    ],
)
def test_what_cannot_be_averaged_is_refused(values: Floats, groups: NDArray[np.int64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        group_means(values, groups, 2)
