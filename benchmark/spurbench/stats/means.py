"""Means per group of something that every example has under every seed, with an interval over examples and seeds.

Seeds and examples are crossed: every seed is seen on the same examples. A resample draws both anew, seeds for all
groups at once and examples within their group, and takes the mean of what is drawn: the pigeonhole bootstrap (Owen
2007, The pigeonhole bootstrap, Annals of Applied Statistics 1, 386-411).

It tells how far the limits lie on either side of the mean in proportion. How far they lie in all is known better: a
bootstrap of five seeds takes their spread for a tenth too small and their quantiles for the normal distribution's, and
counts three times what each seed makes of an example. So the width is that of the two-way layout's mean squares (see
`width.half_width`), widened as Student's t is where a group has few examples, and limits stay within 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..seeds import Seed
from .estimate import t_quantile
from .outcomes import Floats
from .width import half_width, variance_of_mean

RESAMPLES = 2_000
MOST_DRAWN = 256
"""Examples of a group that are drawn one by one; of more, as many random parts of equal size are (the random groups of
Wolter 2007, Introduction to Variance Estimation, chapter 2), whose means are as skewed and much quicker to draw."""
SEED = Seed(("group means",))


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupMeans:
    """Means of some groups.

    Attributes:
        groups: in the order of the groups' numbers; None for a group without examples.
        balanced: the mean over groups that have any, each counting the same.
    """

    groups: tuple[Interval | None, ...]
    balanced: Interval


@dataclass(frozen=True, eq=False)
class _Part:
    """A mean over examples, for each seed, with its variances (see `width.half_width`), and the same of resamples.

    Attributes:
        rows: (S,) mean under each seed.
        examples, residual: variance over samples of examples of the mean over seeds, and what of it seeds do not share.
        degrees: of freedom of `examples`.
        drawn: (RESAMPLES, S) `rows` of other examples.
    """

    rows: Floats
    examples: float
    residual: float
    degrees: float
    drawn: Floats


def group_means(values: Floats, groups: NDArray[np.integer], n_groups: int, confidence: float = 0.95) -> GroupMeans:
    """Mean over seeds and examples of each group, and of all groups alike.

    Intervals are for other examples and other seeds; of a single seed, for other examples under that seed. Nothing is
    known of how the examples of a group differ that has one: they are supposed to differ as much as they can, by a
    standard deviation of 1/2. Examples of a group most of whose values are 0 or 1, such as hits and misses, are taken
    to differ at least as much as if two more lay at the other end: a run of hits is no proof that there are no misses.
    Other values that are all equal have an interval without width. The same values give the same bits, whatever the
    order of examples and seeds.

    Simulated at 95 %, two groups of 5 to 300 skewed examples under 1 to 10 seeds that differ by nothing up to as much
    as examples do: 92 to 98 % hold the mean of a group, or of both, that another draw of both would have. Of hits and
    misses, 5 to 300 examples that are hit with a probability of 0.01 to 0.99 under 1 to 10 seeds that agree on half of
    them or more: 93 to 100 %, the more the fewer misses are to be expected.

    Args:
        values: (S, n) shares, 0..1.
        groups: (n,) the group of each example, below `n_groups`.
        n_groups: how many groups there are; some may have no example.
        confidence: of the intervals, each by itself.

    Raises:
        ValueError: another shape, nothing to average, a value that is no share, or a group that there is not.
    """
    if values.ndim != 2 or not values.size or groups.shape != values.shape[1:]:
        raise ValueError(f"values must be seeds x examples with a group for each, not {values.shape}, {groups.shape}")
    # Written so that NaN is refused as well.
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("values must be shares, 0 to 1, every one of them")
    if groups.min() < 0 or groups.max() >= n_groups:
        raise ValueError(f"groups must be numbered 0 to {n_groups - 1}, not {groups.min()} to {groups.max()}")
    values, groups = _in_order(values.astype(np.float64), groups)
    S = len(values)
    weights = SEED.derive("seeds").numpy().multinomial(S, [1 / S] * S, RESAMPLES) / S
    parts = {g: _part(values[:, groups == g], g) for g in range(n_groups) if (groups == g).any()}
    found = tuple(_interval(parts[g], weights, confidence) if g in parts else None for g in range(n_groups))
    return GroupMeans(found, _interval(_balanced(list(parts.values())), weights, confidence))


def _in_order(values: Floats, groups: NDArray[np.integer]) -> tuple[Floats, NDArray[np.integer]]:
    """Seeds by their sorted values, then examples by their groups and values: an order that depends on no other."""
    values = values[sorted(range(len(values)), key=lambda s: np.sort(values[s]).tobytes())]
    order = np.lexsort((*values, groups))
    return values[:, order], groups[order]


def _part(values: Floats, group: int) -> _Part:
    """One group's, of its values (S, n)."""
    S, n = values.shape
    rows, by_example = values.mean(axis=1), values.mean(axis=0)
    examples = float(by_example.var(ddof=1)) / n if n > 1 else 0.25
    if np.isin(values, (0, 1)).mean() > 0.5:
        # s (1 - s) / n of the share s = 2 / (n + 2).
        examples = max(examples, 2 / (n + 2) ** 2)
    residual = 0.0
    if S > 1 and n > 1:
        own = values - rows[:, None] - by_example + values.mean()
        residual = float((own**2).sum()) / ((S - 1) * (n - 1) * S * n)
    random = SEED.derive("examples", group).numpy()
    m = min(n, MOST_DRAWN)
    units = values if m == n else _random_groups(values, m, random)
    places = random.integers(0, m, (RESAMPLES, m)) + m * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(places.ravel(), minlength=RESAMPLES * m).reshape(RESAMPLES, m)
    return _Part(rows, examples, residual, n - 1 or math.inf, counts @ units.T / m)


def _random_groups(values: Floats, m: int, random: np.random.Generator) -> Floats:
    """(S, m) means of m random parts of the examples, which differ in size by one at most."""
    part = random.permutation(np.arange(values.shape[1]) % m)
    sums = np.stack([np.bincount(part, row, m) for row in values])
    means: Floats = sums / np.bincount(part, minlength=m)
    return means


def _balanced(parts: list[_Part]) -> _Part:
    """Groups are independent but for the seeds they share."""
    k, examples = len(parts), sum(part.examples for part in parts)
    # Satterthwaite 1946.
    squares = sum(part.examples**2 / part.degrees for part in parts)
    return _Part(
        rows=np.mean([part.rows for part in parts], axis=0),
        examples=examples / k**2,
        residual=sum(part.residual for part in parts) / k**2,
        degrees=examples**2 / squares if squares else math.inf,
        drawn=np.mean([part.drawn for part in parts], axis=0),
    )


def _interval(part: _Part, weights: Floats, confidence: float) -> Interval:
    # Means that are equal on paper are written alike, whatever they were summed from.
    mean, S, tail = round(float(part.rows.mean()), 12), len(part.rows), (1 - confidence) / 2
    normal = t_quantile(math.inf, 1 - tail)
    examples = part.examples * (t_quantile(part.degrees, 1 - tail) / normal) ** 2
    half = half_width(variance_of_mean(part.rows), examples, part.residual, S - 1 or math.inf, tail)
    drawn = (weights * part.drawn).sum(axis=1) - mean
    normal *= float(np.sqrt(np.mean(drawn**2)))
    down, up = (-1.0, 1.0) if normal < 1e-12 else (np.quantile(drawn, [tail, 1 - tail]) / normal).tolist()
    return Interval(mean, max(mean + min(down, 0.0) * half, 0.0), min(mean + max(up, 0.0) * half, 1.0))
