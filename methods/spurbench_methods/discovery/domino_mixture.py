"""Domino's mixture of embeddings, labels and predictions, fitted by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]
VARIANCE = 1e-6
"""Added to all variances: points that coincide have none."""
PROBABILITY = 1e-10
"""Below which no class's probability falls, so that logarithms are finite."""
TOLERANCE, STEPS = 1e-3, 100
"""Gain of the mean log-likelihood below which, and steps after which, the fitting ends."""


@dataclass(frozen=True)
class Observed:
    """What is seen of m points.

    Attributes:
        x: (m, d) embeddings.
        y: (m, K) labels, one-hot.
        predicted: (m, K) the model's probabilities.
    """

    x: Array
    y: Array
    predicted: Array


@dataclass(frozen=True)
class Mixture:
    """s slices: normal in the embedding, with a variance for each dimension, and categorical in label and prediction.

    Attributes:
        share: (s,) of all points.
        mean, variance: (s, d).
        y, predicted: (s, K) probabilities.
    """

    share: Array
    mean: Array
    variance: Array
    y: Array
    predicted: Array

    def log_joint(self, seen: Observed, gamma: float) -> Array:
        """(m, s) log P(s) P(x|s) P(y|s)^gamma P(yhat|s)^gamma; for a soft prediction the mean over it of the logarithm.

        Eyuboglu et al. 2022, section 5, equation 6, with one weight for both.
        """
        precision = 1 / self.variance
        # sum_d (x - mean)^2 / variance, multiplied out: no (m, s, d) array.
        far = seen.x**2 @ precision.T - 2 * seen.x @ (self.mean * precision).T + (self.mean**2 * precision).sum(axis=1)
        normal = -0.5 * (far + np.log(2 * np.pi * self.variance).sum(axis=1))
        labels = (
            seen.y @ np.log(self.y.clip(PROBABILITY)).T + seen.predicted @ np.log(self.predicted.clip(PROBABILITY)).T
        )
        found: Array = np.log(self.share.clip(PROBABILITY)) + normal + gamma * labels
        return found


def estimated(seen: Observed, responsibility: Array) -> Mixture:
    """The mixture of greatest likelihood where (m, s) `responsibility` says which slice each point is of."""
    weight = responsibility.sum(axis=0)
    # A slice that has lost its points keeps a mean of 0 and the least variance, and wins none back.
    per = responsibility.T / weight.clip(PROBABILITY)[:, None]
    mean = per @ seen.x
    variance = (per @ seen.x**2 - mean**2).clip(0) + VARIANCE
    return Mixture(weight / len(seen.x), mean, variance, per @ seen.y, per @ seen.predicted)


def fit(seen: Observed, start: Array, gamma: float) -> Mixture:
    """Alternate expectation and maximisation from (m, s) responsibilities until the likelihood gains no more."""
    mixture = estimated(seen, start)
    before = -np.inf
    for _ in range(STEPS):
        joint = mixture.log_joint(seen, gamma)
        total = logsumexp(joint, axis=1, keepdims=True)
        mixture = estimated(seen, np.exp(joint - total))
        likelihood = float(total.mean())
        if likelihood - before < TOLERANCE:
            break
        before = likelihood
    return mixture
