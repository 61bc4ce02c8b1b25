"""Worlds whose truth is known: methods that are trained and tested as often as one likes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from spurbench.stats import Outcomes

WATERBIRDS = (2255, 2255, 642, 642)
CELEBA = (9767, 7535, 2480, 180)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """A method on a population. An example is right if its difficulty and the seed's luck together stay below a bar.

    Attributes:
        accuracies: of each group, averaged over seeds.
        sizes: of each group in a test set.
        strength: share of the difficulty in what decides; 1 for a deterministic method.
        deviation: standard deviation over seeds of each group's accuracy on the population.
    """

    accuracies: tuple[float, ...]
    sizes: tuple[int, ...] = WATERBIRDS
    strength: float = 0.9
    deviation: float = 0.0

    @property
    def groups(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def truth(self) -> float:
        """What a new seed's worst-group accuracy on the population is expected to be."""
        if self.deviation == 0:
            return min(self.accuracies)
        return float(self._seeds(400_000, np.random.default_rng(99)).min(axis=1).mean())

    def difficulty(self, rng: np.random.Generator) -> Floats:
        return rng.standard_normal(sum(self.sizes), dtype=np.float32)

    def outcomes(self, seeds: int, rng: np.random.Generator, difficulty: Floats | None = None) -> Outcomes:
        """A test set with that difficulty, or a new one, and what some seeds make of it."""
        difficulty = self.difficulty(rng) if difficulty is None else difficulty
        drawn = 1 if self.strength == 1 else seeds
        bar = ndtri(self._seeds(drawn, rng)).astype(np.float32)[:, self.groups]
        luck = rng.standard_normal(bar.shape, dtype=np.float32) if self.strength < 1 else np.float32(0)
        right = np.float32(np.sqrt(self.strength)) * difficulty + np.float32(np.sqrt(1 - self.strength)) * luck < bar
        return Outcomes(np.repeat(right, seeds // drawn, axis=0), self.groups)

    def _seeds(self, seeds: int, rng: np.random.Generator) -> NDArray[np.float64]:
        noise = rng.normal(size=(seeds, len(self.accuracies))) * self.deviation
        return np.clip(np.array(self.accuracies) + noise, 0.001, 0.999)
