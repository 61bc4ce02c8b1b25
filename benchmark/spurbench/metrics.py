"""Accuracies of groups, as pure functions of integer counts. Two averages exist in this field; both are named.

Terms: an example has a class y in 0..K-1 and a spurious attribute a in 0..A-1; its group is g = y*A + a.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Counts = Sequence[int]


def group_counts(y: Ints, groups: Ints, predictions: Ints, n_groups: int) -> tuple[list[int], list[int]]:
    """Correct and total examples per group.

    Args:
        y, groups, predictions: (n,) integers: true class, group, predicted class.
        n_groups: K*A.

    Returns:
        (correct, total), each a list of `n_groups` ints.
    """
    if not y.shape == groups.shape == predictions.shape or y.ndim != 1:
        raise ValueError(
            f"y, groups and predictions must be (n,) alike: {y.shape}, {groups.shape}, {predictions.shape}"
        )
    if groups.size and not 0 <= groups.min() <= groups.max() < n_groups:
        raise ValueError(f"groups must lie in 0..{n_groups - 1}, not {groups.min()}..{groups.max()}")
    correct = np.bincount(groups[predictions == y], minlength=n_groups)
    total = np.bincount(groups, minlength=n_groups)
    return [int(count) for count in correct], [int(count) for count in total]


def group_accuracies(correct: Counts, total: Counts) -> list[float | None]:
    """Accuracy of each group, None for a group without examples."""
    return [c / t if t else None for c, t in zip(correct, total, strict=True)]


def worst_group_accuracy(correct: Counts, total: Counts) -> float:
    """The lowest accuracy among the groups that have examples."""
    return min(accuracy for accuracy in group_accuracies(correct, total) if accuracy is not None)


def worst_class_accuracy(correct: Counts, total: Counts, n_attributes: int) -> float:
    """The lowest accuracy among the classes that have examples: needs no group labels (SubpopBench's selector)."""
    by_class = [
        (sum(correct[start : start + n_attributes]), sum(total[start : start + n_attributes]))
        for start in range(0, len(total), n_attributes)
    ]
    return min(c / t for c, t in by_class if t)


def accuracy(correct: Counts, total: Counts) -> float:
    """Share of the split's examples that are right; on the test split this is `acc_test`."""
    return sum(correct) / sum(total)


def train_weighted_accuracy(correct: Counts, total: Counts, train_total: Counts) -> float | None:
    """`acc_train_weighted`: group accuracies weighted by the groups' shares of the training split.

    The "adjusted average" of Waterbirds (Sagawa et al. 2020, and wilds' `WaterbirdsDataset.eval`), with the weights
    counted in the data at hand. Groups absent from the evaluated split carry no weight; None if nothing is left.
    """
    kept = [(c / t, n) for c, t, n in zip(correct, total, train_total, strict=True) if t and n]
    weight = sum(n for _, n in kept)
    return sum(value * n for value, n in kept) / weight if weight else None


def balanced_accuracy(correct: Counts, total: Counts) -> float:
    """Unweighted mean over the groups that have examples."""
    accuracies = [value for value in group_accuracies(correct, total) if value is not None]
    return sum(accuracies) / len(accuracies)
