"""How sure accuracies and drops are: a bootstrap that holds for few photos, and where almost all are right.

Resampling the photos themselves says that an accuracy of 20 out of 20 is certain. So units are drawn from those that
are there and two more, of the usual size: one all right and one all wrong, as Agresti and Caffo (2000) add to the
counts of a difference of proportions. This pulls a class's interval towards one half of right answers. For an average
over K classes, where samples are K times as large, a K-th of that is due, and the rest is taken back.

Cells are resampled apart. Where one unit has photos in several, as a photographer does who goes everywhere, what they
share is not in the interval of an average, which is too narrow then.

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..seeds import Seed
from .drops import Units
from .table import Interval


def resampled(units: Units, resamples: int, seed: Seed) -> NDArray[np.float64]:
    """(resamples,) float64 accuracies of as many units as there are, drawn from them and the two that are added.

    Args:
        units: (n, 2) of one class before one background, not empty.
    """
    usual = units[:, 1].mean()
    # Equal units are drawn together; this also makes their order irrelevant.
    kinds, counts = np.unique(units, axis=0, return_counts=True)
    kinds = np.concatenate([kinds, [[usual, usual], [0, usual]]])
    chances = np.concatenate([counts, [1, 1]]) / (len(units) + 2)
    drawn = seed.numpy().multinomial(len(units), chances, size=resamples) @ kinds
    return np.asarray(drawn[:, 0] / drawn[:, 1])


def averaged(estimates: Sequence[float], replicates: Sequence[NDArray[np.float64]], confidence: float) -> Interval:
    """The average over K classes, each counting the same, with its percentile interval.

    Args:
        estimates: (K,) of each class, at least one.
        replicates: (K, resamples) of the same, independent of each other.
    """
    estimate = float(np.mean(estimates))
    means = np.mean(replicates, axis=0)
    pull = float(means.mean()) - estimate
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail]) - pull * (1 - 1 / len(estimates))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))
