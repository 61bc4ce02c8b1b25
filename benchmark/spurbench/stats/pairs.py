"""Two methods on the same test examples and seeds: how much they differ, and whether it can be chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .estimate import t_quantile
from .outcomes import Floats, Outcomes, spread
from .width import half_width, variance_of_mean
from .worst import Parts

_POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """a - b; shares, -1..1.

    Attributes:
        difference: of the two printed numbers.
        low, high: interval for the difference that new seeds are expected to have on the population.
        p: two-sided, of no such difference; below 1 - confidence if and only if the interval leaves out 0.
        error: standard error, of seeds and examples together.
        detectable: the smallest true difference that such a comparison finds, at the two-sided level 1 - confidence,
            four times out of five if examples differ as much as they do now; three times out of four in simulations,
            where more of them differ the farther the methods are apart.
    """

    difference: float
    low: float
    high: float
    p: float
    error: float
    detectable: float


def compare_worst(a: Outcomes, b: Outcomes, confidence: float = 0.95) -> Difference:
    """Difference of the worst-group accuracies, also where the two are worst on different groups.

    Two equal methods are told apart at 5 % in 3 to 7 % of simulated pairs of test sets with one, two or four groups
    worst, whatever they share of examples' difficulty. In up to 20 % if each is nearly as bad (within two standard
    errors) on the group on which the other is worst: which of the two groups came out easier decides, and is taken for
    known. And in 6 to 12 % (four groups) or 30 % (24) if one has a clear worst group and the other many that are
    equally bad, in favour of the former: of the bias of a minimum over ties about half is found.

    Raises:
        ValueError: other examples, groups or numbers of seeds.
    """
    check_fit(a, b)
    return compared(a, b, Parts.of(a), Parts.of(b), confidence)


def check_fit(a: Outcomes, b: Outcomes) -> None:
    """Raise ValueError unless both are of the same examples, with as many seeds."""
    if a.right.shape != b.right.shape or not np.array_equal(a.groups, b.groups):
        raise ValueError(
            "only outcomes of the same examples and as many seeds can be compared, not "
            f"{a.right.shape[0]} seeds x {a.right.shape[1]} examples with {b.right.shape[0]} x {b.right.shape[1]}"
            + (" of other groups" if a.right.shape == b.right.shape else "")
        )


def compare_accuracy(a: Outcomes, b: Outcomes, confidence: float = 0.95) -> Difference:
    """Difference of the plain accuracies on all examples. For one seed, McNemar's comparison. Raises as above."""
    return compare_worst(a.ungrouped(), b.ungrouped(), confidence)


def compared(a: Outcomes, b: Outcomes, of_a: Parts, of_b: Parts, confidence: float) -> Difference:
    """`compare_worst` of outcomes whose parts are known and that fit together."""
    seeds = variance_of_mean(of_a.least - of_b.least)
    examples, residual = _of_difference(a, b, of_a, of_b)

    def half(tail: float) -> float:
        return half_width(seeds, examples, residual, of_a.degrees, tail)

    difference = of_a.estimate - of_b.estimate
    # Biases cancel where both methods' groups are alike. Where they do not, taking them off whole adds noise of its own
    # between methods with two nearly worst groups each: half is the compromise that simulations favour.
    centre = (difference + of_a.corrected - of_b.corrected) / 2
    width = half((1 - confidence) / 2)
    error = math.sqrt(seeds + max(examples - residual, 0.0))
    return Difference(
        difference=difference,
        low=max(centre - width, -1.0),
        high=min(centre + width, 1.0),
        p=2 * _tail(half, abs(centre)),
        error=error,
        detectable=min(width + t_quantile(math.inf, _POWER) * error, 1.0),
    )


def _of_difference(a: Outcomes, b: Outcomes, of_a: Parts, of_b: Parts) -> tuple[float, float]:
    """Variance of the difference over examples, and the part of it that is over seeds as well.

    Each example counts with what it is right more often under a than under b, weighed by how often its group is the
    worst of either: the infinitesimal jackknife of the mean over noise (Efron 2014).

    Two of a group's examples more are supposed to differ, one each way, by as much as examples do that differ: without
    them, methods that happen to agree everywhere could not differ on the population (Bonett and Price 2012).
    """
    joint, x, y = spread(a, b), of_a.shares, of_b.shares

    def of(mine: Floats, other: Floats, both: Floats) -> float:
        return max(float(x**2 @ mine + y**2 @ other - 2 * (x * y) @ both), 0.0)

    examples = of(a.spread.shared, b.spread.shared, joint.shared)
    residual = of(a.spread.residual, b.spread.residual, joint.residual) / a.seeds
    apart = np.abs(a.right.sum(axis=0) - b.right.sum(axis=0)) / a.seeds
    total = float(apart.sum())
    size = float(apart @ apart) / total if total else 1.0
    return examples + float(np.maximum(x, y) ** 2 @ (2 * size**2 / a.sizes**2)), residual


def _tail(half: Callable[[float], float], distance: float) -> float:
    """The probability of one tail whose half-width is the distance, at most 1/2: by bisection of its logarithm."""
    low, high = -700.0, math.log(0.5)
    for _ in range(60):
        middle = (low + high) / 2
        # Quantiles so far out are NaN for a few numbers of degrees: they count as farther than the distance.
        low, high = (low, middle) if half(math.exp(middle)) <= distance else (middle, high)
    return math.exp(high)
