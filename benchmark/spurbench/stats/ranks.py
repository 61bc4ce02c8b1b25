"""Methods across tables, a table being one data set with one backbone: ranks, and which differences are chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .estimate import t_quantile
from .multiple import holm

_DIGITS = 12
_EXACT = 50
"""Largest number of tables for which the distribution of signed ranks is worked out."""


@dataclass(frozen=True)
class Ranking:
    """M methods on T tables.

    Attributes:
        mean_ranks: (M,) over tables, 1 being best; methods of equal score share the mean of their ranks.
        low, high: (M,) interval of the mean rank, were the data sets drawn anew: Student's t over the data sets' mean
            ranks, within 1 to M. From fewer than three nothing is known: 1 to M.
        friedman_p: of all methods being equally good (Friedman 1937); None below three data sets or three methods.
        pairs: for each pair i < j the p of Wilcoxon's signed-rank test, Holm over all pairs.
        groups: largest runs of methods in the order of mean ranks in which no pair differs: the bars of a diagram of
            critical differences (Demsar 2006, by pairwise tests as in Benavoli, Corani and Mangili 2016). Runs of one
            method are left out. Two methods that share none may still not differ: another that lies between them may
            differ from one of them.
        nemenyi: by how much mean ranks must differ to be told apart by Nemenyi's test; None where there is no
            friedman_p.
    """

    mean_ranks: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    friedman_p: float | None
    pairs: Mapping[tuple[int, int], float]
    groups: tuple[tuple[int, ...], ...]
    nemenyi: float | None


def rank_methods(
    scores: NDArray[np.float64], clusters: Sequence[str] | None = None, confidence: float = 0.95
) -> Ranking:
    """Rank methods by their scores, more being better.

    Args:
        scores: (T, M), all present and finite.
        clusters: (T,) what each table's data set is. Tables of one are no independent witnesses: intervals and tests
            are of the means over each data set's tables (taken one by one, equal methods on 10 data sets under 5
            backbones that agree with correlation 0.5 would be told apart in 37 % of cases). Without it, each table is
            alone.
        confidence: of intervals and tests.

    Raises:
        ValueError: another shape, no table, no method, a score that is missing, or another number of clusters.
    """
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"scores must be tables x methods, all finite, not {scores.shape}")
    T, M = scores.shape
    if clusters is not None and len(clusters) != T:
        raise ValueError(f"{len(clusters)} clusters for {T} tables")
    from scipy.stats import rankdata

    # Scores that are equal on paper are not so in binary.
    ranks = rankdata(-np.round(scores, _DIGITS), axis=1)
    mean = ranks.mean(axis=0)
    own, own_ranks = _of_data_sets(scores, clusters), _of_data_sets(ranks, clusters)
    low, high = _interval(mean, own_ranks, confidence)
    wide_enough = len(own) >= 3 and M >= 3
    first, second = np.triu_indices(M, 1)
    adjusted = holm(signed_rank(own[:, first] - own[:, second]))
    pairs = dict(zip(zip(first.tolist(), second.tolist(), strict=True), adjusted, strict=True))
    return Ranking(
        mean_ranks=tuple(mean.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        friedman_p=_friedman(rankdata(-np.round(own, _DIGITS), axis=1)) if wide_enough else None,
        pairs=pairs,
        groups=_bars(mean, pairs, 1 - confidence),
        nemenyi=_critical_difference(len(own), M, confidence) if wide_enough else None,
    )


def _of_data_sets(values: NDArray[np.float64], clusters: Sequence[str] | None) -> NDArray[np.float64]:
    """(C, M) means over the tables of each data set."""
    if clusters is None:
        return values
    members: dict[str, list[int]] = {}
    for table, name in enumerate(clusters):
        members.setdefault(name, []).append(table)
    return np.array([values[rows].mean(axis=0) for rows in members.values()])


def _interval(
    mean: NDArray[np.float64], ranks: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M,) limits of the mean ranks by Student's t over data sets, within what ranks can be."""
    C, M = ranks.shape
    if C < 3:
        return np.ones(M), np.full(M, float(M))
    half = t_quantile(C - 1, (1 + confidence) / 2) * ranks.std(axis=0, ddof=1) / math.sqrt(C)
    return np.clip(mean - half, 1, M), np.clip(mean + half, 1, M)


def _friedman(ranks: NDArray[np.float64]) -> float:
    from scipy.stats import friedmanchisquare

    if (ranks == ranks[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*ranks.T).pvalue)


def signed_rank(differences: NDArray[np.float64]) -> list[float]:
    """Two-sided p of Wilcoxon's signed-rank test of each column of (n, m); differences of 0 are left out (1945).

    Exact up to `_EXACT` differences, also where some are equal in size and share a rank. Beyond, SciPy's normal
    approximation.
    """
    from scipy.stats import rankdata, wilcoxon

    # Differences of decimal shares that are equal on paper are not so in binary.
    differences = np.round(differences, _DIGITS)
    sizes = np.abs(differences)
    # Those of 0 have the lowest ranks. Doubled, shared ranks are whole as well.
    ranks = np.rint(2 * (rankdata(sizes, axis=0) - (sizes == 0).sum(axis=0))).astype(int)
    found = []
    for column, own in zip(differences.T, ranks.T, strict=True):
        left = column != 0
        if left.sum() > _EXACT:
            found.append(float(wilcoxon(column[left], method="approx").pvalue))
        else:
            at_most, at_least = _rank_sums(tuple(sorted(own[left].tolist())))
            reached = int(own[column > 0].sum())
            found.append(min(1.0, 2 * float(min(at_most[reached], at_least[reached]))))
    return found


@lru_cache
def _rank_sums(ranks: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(sum <= x) and P(sum >= x) for x = 0, 1, ..., each rank being in the sum or not with equal chance."""
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        taken = chances[:-rank].copy()
        chances /= 2
        chances[rank:] += taken / 2
    return chances.cumsum(), chances[::-1].cumsum()[::-1]


def _bars(
    mean: NDArray[np.float64], pairs: Mapping[tuple[int, int], float], alpha: float
) -> tuple[tuple[int, ...], ...]:
    def p(i: int, j: int) -> float:
        return pairs[min(i, j), max(i, j)]

    order = [int(i) for i in np.argsort(mean, kind="stable")]
    bars: list[tuple[int, ...]] = []
    end = 0
    for start in range(len(order)):
        stop = max(end, start + 1)
        while stop < len(order) and all(p(i, order[stop]) > alpha for i in order[start:stop]):
            stop += 1
        if stop > max(end, start + 1):
            bars.append(tuple(order[start:stop]))
        end = max(end, stop)
    return tuple(bars)


def _critical_difference(T: int, M: int, confidence: float) -> float:
    """q sqrt(M (M + 1) / 6 T), q the quantile of the studentised range of M means over sqrt 2 (Demsar 2006)."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(confidence, M, np.inf)) / math.sqrt(2) * math.sqrt(M * (M + 1) / (6 * T))
