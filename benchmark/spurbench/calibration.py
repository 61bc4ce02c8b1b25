"""What is known of a method's scores besides the class that is highest: its confidence, and how it ranks examples.

Kept as counts, so that calibration error and AUROC can be computed again from a record. Pure functions, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .rules import Strict

BINS = 15
"""Bins of equal width over confidences 0 to 1, as in Guo et al. 2017."""


class Bin(NamedTuple):
    """Examples whose confidence, the softmax probability of the predicted class, lies in one bin."""

    total: Annotated[int, Field(ge=0)]
    correct: Annotated[int, Field(ge=0)]
    confidence: Annotated[float, Field(ge=0)]
    """Sum over the examples, to three decimals."""


class Scores(Strict):
    """The scores of all examples of a split, counted.

    Attributes:
        bins: `BINS` of them, bin b for confidences in (b / BINS, (b + 1) / BINS].
        pairs: per class k, twice the number of pairs of one example of the class and one of another in which the
            former has the higher score for k, where a tie counts as half a pair; 0 where there is no such pair. A score
            for k is z_k - log sum_{j != k} exp z_j, the log-odds.
    """

    bins: list[Bin] = Field(min_length=BINS, max_length=BINS)
    pairs: list[Annotated[int, Field(ge=0)]]


def score(logits: NDArray[np.floating], y: NDArray[np.integer], predictions: NDArray[np.integer]) -> Scores:
    """Count the scores of (n, K) logits, -inf where a class cannot be chosen, of examples with classes y (n,)."""
    z = logits.astype(np.float64)
    top = z.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(z - top).sum(axis=1))
    confidence = np.exp(z[np.arange(len(z)), predictions] - total)
    where = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    right = predictions == y
    columns = (np.bincount(where, weights=values, minlength=BINS) for values in (None, right, confidence))
    bins = [Bin(int(n), int(correct), round(float(summed), 3)) for n, correct, summed in zip(*columns, strict=True)]
    n_classes = z.shape[1]
    counts = np.bincount(y, minlength=n_classes)
    pairs = [0] * n_classes
    for k in np.flatnonzero((counts > 0) & (counts < len(y))):
        # Of two classes one's score is the other's negative, and so both rank alike.
        pairs[k] = pairs[0] if k == 1 and n_classes == 2 else _concordant(_log_odds(z, int(k)), y == k)
    return Scores(bins=bins, pairs=pairs)


def _log_odds(z: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    others = np.delete(z, k, axis=1)
    top = others.max(axis=1, keepdims=True)
    # Where no other class can be chosen, k is certain.
    top = np.where(np.isneginf(top), -1e308, top)
    with np.errstate(over="ignore"):
        odds: NDArray[np.float64] = z[:, k] - top[:, 0] - np.log(np.exp(others - top).sum(axis=1).clip(1e-300))
    return odds


def _concordant(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> int:
    """Twice the Mann-Whitney U of the positive examples, from doubled mid-ranks, which are integers."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    doubled = 2 * np.cumsum(counts) - counts + 1
    n = int(positive.sum())
    return int(doubled[place[positive]].sum()) - n * (n + 1)


def calibration_error(scores: Scores) -> float:
    """Expected calibration error: the mean over examples of |share right - mean confidence| in their bin, 0..1.

    Source: Guo et al. 2017, arXiv 1706.04599, equation 3.
    """
    total = sum(part.total for part in scores.bins)
    return math.fsum(abs(part.correct - part.confidence) for part in scores.bins) / total


def auroc(scores: Scores, class_totals: Sequence[int]) -> float | None:
    """Area under the ROC curve, one class against the others, averaged over the classes that have examples.

    That is the probability that an example of the class has a higher score for it than one of another class, ties half
    (Hanley and McNeil 1982). None where fewer than two classes have examples.
    """
    n = sum(class_totals)
    areas = [
        pairs / (2 * total * (n - total))
        for pairs, total in zip(scores.pairs, class_totals, strict=True)
        if 0 < total < n
    ]
    return math.fsum(areas) / len(areas) if areas else None


def fits(scores: Scores, correct: Sequence[int], total: Sequence[int], n_classes: int) -> bool:
    """Whether counted scores can belong to a result with these counts per group, K A of each."""
    n, width = sum(total), len(total) // n_classes
    of_class = [sum(total[k * width : (k + 1) * width]) for k in range(n_classes)]
    return (
        sum(part.total for part in scores.bins) == n
        and sum(part.correct for part in scores.bins) == sum(correct)
        and all(part.correct <= part.total and part.confidence <= part.total + 1e-3 for part in scores.bins)
        and len(scores.pairs) == n_classes
        and all(pairs <= 2 * m * (n - m) for pairs, m in zip(scores.pairs, of_class, strict=True))
    )
