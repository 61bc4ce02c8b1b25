"""Whether two numbers of the same things go together: Spearman's rank correlation, with its interval and p-value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..seeds import Seed
from .estimate import t_quantile
from .outcomes import Floats

FEWEST, MOST_EXACT, DRAWS = 4, 8, 9_999
"""Pairs of which something can be said; those whose orders are all looked at; orders drawn of more."""
_DIGITS = 12


@dataclass(frozen=True)
class RankCorrelation:
    """Of n pairs.

    Attributes:
        rho: Spearman's, -1..1; equal values share the mean of their ranks.
        low, high: interval for the correlation in the population that the pairs are a sample of.
        p_value: two-sided, of there being none.
        n: pairs.
    """

    rho: float
    low: float
    high: float
    p_value: float
    n: int


def rank_correlation(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> RankCorrelation | None:
    """Spearman's rank correlation of n pairs; None of fewer than four, or where one side is the same throughout.

    The interval is Fisher's with the variance (1 + rho^2 / 2) / (n - 3) of its z (Bonett and Wright 2000, Sample size
    requirements for estimating Pearson, Kendall and Spearman correlations, Psychometrika 65, 23-28). z is infinite for
    ranks that agree fully: it is taken half-way to the next smaller rho that n pairs without ties can have.

    It is for pairs that are independent of each other. Simulated without any correlation, intervals of 95 % held 0 for
    82 % of samples of 8 families of 3 look-alikes, which share 80 % of their variance, and for 70 % of 6 families of 5.

    The p-value is that of a permutation test: over all n! orders of one side up to n = 8, and of more over 9,999 that
    are drawn, the one at hand counting as another (Phipson and Smyth 2010). The order of the pairs does not matter.

    Raises:
        ValueError: other numbers of values, or one that is not finite.
    """
    values = np.array([x, y], np.float64)
    if not np.isfinite(values).all():
        raise ValueError("only finite numbers have ranks")
    # Means that are equal on paper may differ in their last digit.
    values = np.round(values[:, np.lexsort(values)], _DIGITS)
    n = values.shape[1]
    if n < FEWEST or (values.min(axis=1) == values.max(axis=1)).any():
        return None
    first, second = (_standardised_ranks(side) for side in values)
    rho = float(np.clip(first @ second, -1, 1))
    most = 1 - 6 / (n**3 - n)
    z = math.atanh(min(max(rho, -most), most))
    half = t_quantile(math.inf, (1 + confidence) / 2) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return RankCorrelation(
        rho=rho,
        low=min(math.tanh(z - half), rho),
        high=max(math.tanh(z + half), rho),
        p_value=_p_value(first, second),
        n=n,
    )


def _standardised_ranks(values: Floats) -> Floats:
    """(n,) ranks of mean 0 and square sum 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ranks -= ranks.mean()
    unit: Floats = ranks / math.sqrt(ranks @ ranks)
    return unit


def _p_value(first: Floats, second: Floats) -> float:
    n, reached = len(first), abs(first @ second) - 1e-9
    if n <= MOST_EXACT:
        orders = np.array(list(permutations(range(n))))
        return float((np.abs(second[orders] @ first) >= reached).mean())
    random = Seed(("rank correlation", n)).numpy()
    drawn = random.permuted(np.tile(second, (DRAWS, 1)), axis=1)
    return float(1 + (np.abs(drawn @ first) >= reached).sum()) / (DRAWS + 1)
