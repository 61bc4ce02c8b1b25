"""The worst group's accuracy: how far a mean of minima lies too low, and how well both seeds and examples determine it.

The printed number, T = mean_s min_g acc_sg, has three faults. The least of several noisy accuracies lies below the
least of the true ones. Its t-interval over seeds takes the examples for given, though all seeds share them: what it
covers is this test set's value. And the binomial interval of the worst group takes the seeds for given.

Model: acc_sg = p_g(s) + noise_g + noise_sg. Seeds draw p(s); noise_g (the examples all seeds share) and noise_sg (what
a seed makes of them) are independent between groups. The estimand is E_s min_g p_g(s), what a new seed is expected to
reach on the population.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .estimate import t_quantile
from .minimum import contenders, expected_minimum, shares_of_least
from .outcomes import Floats, Outcomes
from .width import effective_degrees, half_width, variance_of_mean


@dataclass(frozen=True)
class WorstGroup:
    """Worst-group accuracy with its uncertainty; shares, 0..1.

    Attributes:
        estimate: mean over seeds of each seed's worst-group accuracy, what everybody prints.
        bias: what the estimate is off for being a minimum of noisy accuracies; 0 or negative.
        corrected: estimate - bias.
        low, high: interval for the expected worst-group accuracy of a new seed on the population.
        error_seeds: standard error for there being few seeds; None for one seed.
        error_examples: standard error for there being few examples.
        degrees: of freedom of both sources together; infinite for one seed, and where all seeds are equally good.
    """

    estimate: float
    bias: float
    corrected: float
    low: float
    high: float
    error_seeds: float | None
    error_examples: float
    degrees: float


def worst_group(outcomes: Outcomes, confidence: float = 0.95) -> WorstGroup:
    """Estimate, bias and interval of the worst-group accuracy. For one seed, of that seed's own: no word on others.

    The bias is the parametric bootstrap's: what drawing the noise once more lowers the minimum by. It is known badly
    just where it is large, so that `low` does without it, and only `high` is moved up.

    Simulated test sets of Waterbirds' and CelebA's sizes, seeds that share 90 % of an example's difficulty or all of
    it, 3 to 10 seeds, 95 % asked for: 94 to 97 % cover the truth with one clear worst group; 93 to 97.5 % with two or
    four groups exactly tied and seeds of equal worth; 97 to 99 % where groups tie but seeds differ by a point, which is
    too wide. Four tied groups under seeds that agree on little but are equally good get 91 %. Many small groups that
    are about equally bad get less, the truth lying above: 84 % for 24 groups of 50 examples, 69 % for 90 of 30, since
    about half of the bias is found there. So do three seeds of which one in five collapses, 84 %. With one clear worst
    group, the t-interval over seeds covers 0 % (deterministic), 35 % (10 seeds) and 73 % (3 seeds), and the worst
    group's binomial interval 84 % where 3 seeds differ by 3 points.
    """
    parts = Parts.of(outcomes)
    tail = (1 - confidence) / 2
    z = t_quantile(math.inf, tail)

    def half(variances: Floats) -> float:
        return half_width(parts.seeds, float(parts.squares @ variances), parts.residual, parts.degrees, tail)

    # What each of Wilson's limits says of the variance: MOVER (Zou and Donner 2008).
    down, up = (half((distance / z) ** 2) for distance in _wilson(outcomes, z))
    corrected = min(parts.corrected, 1.0)
    return WorstGroup(
        estimate=parts.estimate,
        bias=parts.estimate - corrected,
        corrected=corrected,
        low=max(parts.estimate - down, 0.0),
        high=min(corrected + up, 1.0),
        error_seeds=None if outcomes.seeds == 1 else math.sqrt(max(parts.seeds - parts.residual, 0.0)),
        error_examples=math.sqrt(parts.examples),
        degrees=effective_degrees(parts.seeds, max(parts.examples - parts.residual, 0.0), parts.degrees),
    )


@dataclass(frozen=True, eq=False)
class Parts:
    """What worst-group accuracy is made of; variances are of `estimate`.

    Attributes:
        least: (S,) worst-group accuracy of each seed.
        estimate: their mean.
        corrected: the mean of minima after each group's accuracies are drawn together over the seeds until they vary
            as the seeds do, without the noise of the single seed; less the bias that the noise common to all seeds
            still leaves. At least `estimate`.
        shares, squares: (k,) mean and mean square of the share of seeds under which a group is the worst, were the
            examples drawn anew.
        seeds: sample variance over seeds / S: of seeds, and of what each makes of the examples.
        examples: variance over examples of the seeds' mean: of examples, and of what each seed makes of them.
        residual: what is in both.
    """

    least: Floats
    estimate: float
    corrected: float
    shares: Floats
    squares: Floats
    seeds: float
    examples: float
    residual: float

    @classmethod
    def of(cls, outcomes: Outcomes) -> Parts:
        """The parts of some outcomes."""
        S, accuracies, spread = outcomes.seeds, outcomes.accuracies, outcomes.spread
        least = accuracies.min(axis=1)
        estimate = float(least.mean())
        drawn = _without_residual(accuracies, spread.residual)
        level = max(estimate, float(drawn.min(axis=1).mean()))
        # Two groups that are right throughout are not equally bad: the smaller one may have more left to be wrong.
        deviations = np.maximum(np.sqrt(spread.shared), 1 / outcomes.sizes)
        near = contenders(drawn, deviations)
        shares, squares = np.zeros(len(near)), np.zeros(len(near))
        shares[near], squares[near] = shares_of_least(drawn[:, near], deviations[near])
        deviations = np.maximum(np.sqrt(spread.shared), 1e-30)[near]
        bias = float((expected_minimum(drawn[:, near], deviations) - drawn.min(axis=1)).mean()) if near.sum() > 1 else 0
        return cls(
            least=least,
            estimate=estimate,
            corrected=level - min(bias, 0.0),
            shares=shares,
            squares=squares,
            seeds=variance_of_mean(least),
            examples=float(squares @ spread.shared),
            residual=float(squares @ spread.residual) / S,
        )

    @property
    def degrees(self) -> float:
        """S - 1; infinite for one seed."""
        return len(self.least) - 1 or math.inf


def _without_residual(accuracies: Floats, residual: Floats) -> Floats:
    """(S, k) accuracies about their mean over seeds, scaled to the variance they had without residual noise."""
    if len(accuracies) == 1:
        return accuracies
    mean, variance = accuracies.mean(axis=0), accuracies.var(axis=0, ddof=1)
    kept = np.sqrt(np.clip(1 - residual / np.maximum(variance, 1e-24), 0, 1))
    return np.asarray(mean + kept * (accuracies - mean))


def _wilson(outcomes: Outcomes, z: float) -> tuple[Floats, Floats]:
    """(k,) distances from each group's accuracy down and up to the limits of its Wilson interval, z deviations wide.

    With the effective number of examples that the variance has (Korn and Graubard 1998): between n, where all seeds are
    wrong about the same examples, and S n. A group without a single mistake still has an interval of some width.
    """
    p, n = outcomes.accuracies.mean(axis=0), outcomes.sizes
    variance = outcomes.spread.shared
    binomial = p * (1 - p)
    known = (variance > 0) & (binomial > 0)
    effective = np.where(known, np.clip(binomial / np.where(known, variance, 1), n, outcomes.seeds * n), n)
    centre = (p + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = abs(z) / (1 + z**2 / effective) * np.sqrt(binomial / effective + z**2 / (4 * effective**2))
    return p - (centre - half), centre + half - p
