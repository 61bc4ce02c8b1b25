"""Holm's adjustment and ranks across tables against autorank, SciPy and enumeration."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from autorank import autorank
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, sem, wilcoxon
from scipy.stats import t as student

from spurbench.stats import holm, rank_methods


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.04, 0.3, 0.9, 1.0]), max_size=8))
def test_holm_is_the_procedure_in_plain_loops(p: list[float]) -> None:
    found = holm(p)
    for level in (0.0011, 0.019, 0.05, 0.11, 0.35, 0.99):
        rejected = set()
        for step, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[i] * (len(p) - step) > level:
                break
            rejected.add(i)
        assert {i for i, value in enumerate(found) if value <= level} == rejected
    assert all(value <= 1 for value in found)


def tables(T: int, M: int, seed: int = 0, spread: float = 0.1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((T, M)) + spread * np.arange(M)


@pytest.mark.parametrize(("T", "M"), [(8, 5), (12, 3), (5, 9)])
def test_ranks_are_autoranks(T: int, M: int) -> None:
    scores = tables(T, M)
    found = rank_methods(scores)
    expected = autorank(pd.DataFrame(scores), alpha=0.05, force_mode="nonparametric", verbose=False)
    assert found.mean_ranks == pytest.approx(expected.rankdf["meanrank"].sort_index().tolist())
    assert found.friedman_p == pytest.approx(expected.pvalue)
    assert found.nemenyi == pytest.approx(expected.cd, rel=1e-4)


def test_two_methods_are_autoranks_wilcoxon() -> None:
    """autorank asks only whether the better one is better: half the two-sided p."""
    scores = tables(9, 2, seed=3)
    expected = autorank(pd.DataFrame(scores), alpha=0.05, force_mode="nonparametric", verbose=False)
    assert rank_methods(scores).pairs[0, 1] == pytest.approx(2 * expected.pvalue)


def test_pairs_are_scipys_and_holm() -> None:
    scores = tables(10, 4, seed=1)
    pairs = list(combinations(range(4), 2))
    expected = holm([wilcoxon(scores[:, i], scores[:, j], method="exact").pvalue for i, j in pairs])
    assert rank_methods(scores).pairs == pytest.approx(dict(zip(pairs, expected, strict=True)))
    many = tables(60, 2, seed=2)
    approximate = wilcoxon(many[:, 0], many[:, 1], method="approx").pvalue
    assert rank_methods(many).pairs[0, 1] == pytest.approx(approximate)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_signed_ranks_are_exact_with_equal_sizes_too(tenths: list[int]) -> None:
    scores = np.array([[0.5 + tenth / 10, 0.5] for tenth in tenths])
    left = [tenth for tenth in tenths if tenth]
    ranks = rankdata(np.abs(left))
    sums = np.array(
        [sum(r for r, up in zip(ranks, ups, strict=True) if up) for ups in product([0, 1], repeat=len(left))]
    )
    reached = sum(r for r, tenth in zip(ranks, left, strict=True) if tenth > 0)
    expected = min(1.0, 2 * min((sums <= reached).mean(), (sums >= reached).mean()))
    assert rank_methods(scores).pairs[0, 1] == pytest.approx(expected)


def test_equal_scores_share_their_ranks() -> None:
    found = rank_methods(np.array([[0.9, 0.8, 0.8], [0.7, 0.7, 0.7], [0.5, 0.6, 0.4]]))
    assert found.mean_ranks == pytest.approx([(1 + 2 + 2) / 3, (2.5 + 2 + 1) / 3, (2.5 + 2 + 3) / 3])
    expected = friedmanchisquare([0.9, 0.7, 0.5], [0.8, 0.7, 0.6], [0.8, 0.7, 0.4]).pvalue
    assert found.friedman_p == pytest.approx(expected)
    flat = rank_methods(np.full((4, 3), 0.5))
    assert (flat.friedman_p, set(flat.pairs.values()), flat.groups) == (1, {1.0}, ((0, 1, 2),))


@given(st.integers(2, 6), st.integers(0, 1000), st.sampled_from([0.0, 0.2, 0.5]))
@settings(max_examples=40)
def test_bars_are_the_largest_runs_without_a_difference(M: int, seed: int, spread: float) -> None:
    found = rank_methods(tables(14, M, seed, spread))
    order = sorted(range(M), key=lambda i: found.mean_ranks[i])
    runs = [tuple(order[i:j]) for i in range(M) for j in range(i + 2, M + 1)]
    quiet = [run for run in runs if all(found.pairs[min(p), max(p)] > 0.05 for p in combinations(run, 2))]
    largest = [run for run in quiet if not any(set(run) < set(other) for other in quiet)]
    assert list(found.groups) == largest


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=30)
def test_the_order_of_tables_and_methods_means_nothing(seed: int, clustered: bool) -> None:
    rng = np.random.default_rng(seed)
    scores, clusters = tables(9, 4, seed), [f"data {i % 4}" for i in range(9)] if clustered else None
    rows, columns = rng.permutation(9), rng.permutation(4)
    expected = rank_methods(scores, clusters)
    found = rank_methods(scores[rows][:, columns], clusters and [clusters[row] for row in rows])
    for name in ("mean_ranks", "low", "high"):
        assert getattr(found, name) == pytest.approx([getattr(expected, name)[i] for i in columns], abs=1e-12)
    assert found.friedman_p == pytest.approx(expected.friedman_p)
    for (i, j), p in found.pairs.items():
        assert p == pytest.approx(expected.pairs[min(columns[i], columns[j]), max(columns[i], columns[j])])


def test_backbones_of_one_data_set_are_not_counted_as_many() -> None:
    """Four data sets, each with five backbones that all say the same, are four witnesses."""
    few = tables(4, 3, seed=5, spread=0.3)
    many, names = np.repeat(few, 5, axis=0), [f"data {i}" for i in range(4) for _ in range(5)]
    clustered, alone, once = rank_methods(many, names), rank_methods(many), rank_methods(few)
    assert clustered == once
    assert min(alone.pairs.values()) < min(once.pairs.values())
    assert alone.nemenyi is not None
    assert once.nemenyi == pytest.approx(alone.nemenyi * 5**0.5)


def test_intervals_of_mean_ranks_are_students_over_data_sets() -> None:
    scores, names = tables(12, 4, seed=3), [f"data {i // 2}" for i in range(12)]
    found = rank_methods(scores, names)
    ranks = rankdata(-scores, axis=1).reshape(6, 2, 4).mean(axis=1)
    for method in range(4):
        expected = student.interval(0.95, 5, ranks[:, method].mean(), sem(ranks[:, method]))
        assert (found.low[method], found.high[method]) == pytest.approx(np.clip(expected, 1, 4).tolist())
    few = rank_methods(scores[:4], names[:4])
    assert (few.low, few.high) == ((1,) * 4, (4,) * 4)


def test_one_data_set_says_nothing_of_others() -> None:
    found = rank_methods(tables(4, 3), ["only"] * 4)
    assert (found.low, found.high) == ((1, 1, 1), (3, 3, 3))


@pytest.mark.parametrize(("T", "M"), [(2, 3), (3, 2), (1, 1)])
def test_too_few_tables_or_methods_have_no_omnibus_test(T: int, M: int) -> None:
    found = rank_methods(tables(T, M))
    assert found.friedman_p is found.nemenyi is None
    assert len(found.mean_ranks) == M


@pytest.mark.parametrize(
    ("scores", "clusters", "message"),
    [
        (np.zeros((0, 3)), None, "tables x methods"),
        (np.zeros(3), None, "tables x methods"),
        (np.array([[0.1, np.nan]]), None, "all finite"),
        (np.zeros((2, 2)), ["a"], "1 clusters for 2 tables"),
    ],
)
def test_what_is_no_table_is_refused(scores: NDArray[np.float64], clusters: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_methods(scores, clusters)
