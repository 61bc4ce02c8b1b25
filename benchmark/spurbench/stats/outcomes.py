"""Which test examples a method got right under each seed, and the moments per group that all statistics are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What one method did to the same test examples under each of its seeds.

    No statistic depends on the order of examples, on that of seeds, or on how groups are numbered.

    Attributes:
        right: (S, n) bool, whether example i was classified rightly under seed s.
        groups: (n,) integers, each example's group. Numbers that no example has are no groups.

    Raises:
        ValueError: another shape or dtype, or no seed or no example.
    """

    right: NDArray[np.bool_]
    groups: NDArray[np.integer]

    def __post_init__(self) -> None:
        right, groups = self.right, self.groups
        if right.ndim != 2 or right.dtype != np.bool_:
            raise ValueError(f"right must be a bool matrix of seeds x examples, not {right.dtype} {right.shape}")
        if groups.shape != right.shape[1:] or not np.issubdtype(groups.dtype, np.integer):
            raise ValueError(f"groups must be {right.shape[1]} integers, not {groups.dtype} {groups.shape}")
        if not right.size:
            raise ValueError(f"there is nothing to estimate from in {right.shape[0]} seeds x {right.shape[1]} examples")

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.right)

    def ungrouped(self) -> Outcomes:
        """The same with all examples in one group, whose accuracy is the plain one."""
        return Outcomes(self.right, np.zeros_like(self.groups))

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """(k,) examples of each group that has any, in the order of the groups' numbers."""
        counts: NDArray[np.intp] = np.bincount(self.index)
        return counts

    @cached_property
    def index(self) -> NDArray[np.intp]:
        """(n,) each example's place in `sizes`."""
        place: NDArray[np.intp] = np.unique(self.groups, return_inverse=True)[1]
        return place

    @cached_property
    def accuracies(self) -> Floats:
        """(S, k) accuracy of each group under each seed."""
        member = (self.index[:, None] == np.arange(len(self.sizes))).astype(np.float32)
        # Counts below 2^24 are exact in float32.
        right: Floats = (self.right.astype(np.float32) @ member).astype(np.float64)
        return right / self.sizes

    @cached_property
    def spread(self) -> Spread:
        """Variances of the groups' accuracies."""
        return spread(self, self)


@dataclass(frozen=True, eq=False)
class Spread:
    """How accuracies of groups vary with the examples that happened to be drawn; (k,) each.

    Attributes:
        shared: (co)variance of a group's accuracy averaged over seeds, over samples of examples.
        residual: (co)variance of one seed's accuracy over samples of examples, less what all seeds have in common: the
            interaction of seed and example. Zero for a single seed, where nothing tells it apart.
    """

    shared: Floats
    residual: Floats


def spread(a: Outcomes, b: Outcomes) -> Spread:
    """The covariances of two methods' accuracies on the same examples, seeds paired by position; variances for a = b.

    Mean products of the two-way layout seeds x examples within each group (Searle, Casella and McCulloch 1992):
    `shared` is that of examples over S n, `residual` that of the interaction over n. A group of one example does not
    tell how it varies; the most that is possible, 1/4, is taken for its variance, and no covariance.
    """
    S, n, index = a.seeds, a.sizes, a.index
    own = a is b
    by_example = a.right.sum(axis=0, dtype=np.float64), b.right.sum(axis=0, dtype=np.float64)
    both = a.right.sum(axis=0, dtype=np.float64) if own else (a.right & b.right).sum(axis=0, dtype=np.float64)
    mean_a, mean_b = a.accuracies.mean(axis=0), b.accuracies.mean(axis=0)
    # Sums of products about the group's means: of rows, of seeds, of all; what is left is the interaction's.
    examples = np.bincount(index, by_example[0] * by_example[1]) / S - n * S * mean_a * mean_b
    seeds = n * ((a.accuracies - mean_a) * (b.accuracies - mean_b)).sum(axis=0)
    whole = np.bincount(index, both) - n * S * mean_a * mean_b
    degrees = np.maximum(n - 1, 1)
    shared = np.where(n > 1, examples / (degrees * S * n), 0.25 if own else 0.0)
    residual = (whole - examples - seeds) / (degrees * max(S - 1, 1) * n) if S > 1 else np.zeros(len(n))
    if own:
        return Spread(np.maximum(shared, 0), np.maximum(residual, 0))
    return Spread(shared, residual)
