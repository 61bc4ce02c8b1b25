"""The least of normal variables: its mean, and which one it is. By quadrature, so the same bits every time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .outcomes import Floats

_FAR = 7.0
"""Standard deviations beyond which a normal variable is taken never to be."""
_STEPS, _MOST = 160, 48


def expected_minimum(means: Floats, deviations: Floats) -> Floats:
    """(S,) E min_g N(means[s, g], deviations[g]^2), variables of a row independent.

    E min = c + int_c^inf prod_g P(X_g > x) dx for any c below all of them (the tail formula); by the trapezoid rule,
    which is exact to 1e-6 deviations here.

    Args:
        means: (S, k).
        deviations: (k,) positive.
    """
    from scipy.special import ndtr

    low = (means - _FAR * deviations).min(axis=1)
    high = (means + _FAR * deviations).min(axis=1)
    step = (high - low) / _STEPS
    x = low[:, None] + step[:, None] * np.arange(_STEPS + 1)
    above = np.ones_like(x)
    for g in range(means.shape[1]):
        above *= ndtr((means[:, g, None] - x) / deviations[g])
    least: Floats = low + step * (above.sum(axis=1) - (above[:, 0] + above[:, -1]) / 2)
    return least


def shares_of_least(means: Floats, deviations: Floats) -> tuple[Floats, Floats]:
    """How often each group is the worst of a seed if the noise of its accuracy were drawn anew, the same for all seeds.

    With W_g the share of the S seeds under which group g is the least of means[s, :] + noise, noise_g ~ N(0,
    deviations[g]^2) independent: for two seeds, g is the least under both if and only if every other h has noise_h -
    noise_g above the larger of the two gaps, which leaves one integral over noise_g.

    Returns:
        (k,) E W_g and (k,) E W_g^2.
    """
    from scipy.special import ndtr

    S, k = means.shape
    nodes, weights = _normal()
    first, second = np.triu_indices(S)
    twice = np.where(first == second, 1.0, 2.0)
    share, square = np.zeros(k), np.zeros(k)
    for g in range(k):
        gap = means[:, [g]] - means
        widest = np.maximum(gap[first], gap[second])
        behind = np.ones((len(first), len(nodes)))
        for h in range(k):
            if h != g:
                behind *= ndtr(-(widest[:, h, None] + deviations[g] * nodes) / deviations[h])
        both = behind @ weights
        share[g] = both[first == second].mean()
        square[g] = (twice * both).sum() / S**2
    return share, square


@lru_cache
def _normal() -> tuple[Floats, Floats]:
    """Points and weights of integrals over N(0, 1); close together, as what is integrated may be nearly a step."""
    points = np.linspace(-4.5, 4.5, 91)
    weights = np.exp(-(points**2) / 2)
    return points, weights / weights.sum()


def contenders(means: Floats, deviations: Floats) -> NDArray[np.bool_]:
    """(k,) which groups can be the least under any seed; the others lie `_FAR` deviations of both above one that is.

    Of more than `_MOST`, those that lie lowest: what is made of them takes time that grows with their number's square.
    """
    bound = (means + _FAR * deviations).min(axis=1, keepdims=True)
    near = np.asarray((means - _FAR * deviations <= bound).any(axis=0))
    if near.sum() > _MOST:
        lowest = np.where(near, (means - 2 * deviations).min(axis=0), np.inf)
        near &= lowest <= np.sort(lowest)[_MOST - 1]
    return near
