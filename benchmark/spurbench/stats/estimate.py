"""The mean over seeds. Deviations are sample deviations (ddof = 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `std`, `low` and `high` are None for a single seed: nothing is known of the spread then."""

    mean: float
    std: float | None
    low: float | None
    high: float | None


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean, sample standard deviation, and the two-sided Student t interval of the mean.

    Raises ValueError for an empty sequence. Source: any statistics text, e.g. Casella and Berger 2002, section 9.2.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to estimate from")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, None, None)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1, (1 + confidence) / 2) * std / math.sqrt(n)
    return Estimate(mean, std, mean - half, mean + half)


@lru_cache
def t_quantile(degrees: float, probability: float) -> float:
    """Quantile of Student's t; of the normal distribution for infinite degrees."""
    # scipy.special alone: importing scipy.stats takes longer than rendering a thousand records.
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if math.isinf(degrees) else stdtrit(degrees, probability))
