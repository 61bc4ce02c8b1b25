"""How likely it is that a drop as large as that of the pair chosen is chosen by chance. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..seeds import Seed

Units = NDArray[np.int64]
"""(n, 2) int64: of each unit before one background, how many of its photos are right, and how many it has (at least 1).
A unit before two backgrounds is one before each."""

# Numbers that are permuted at once.
_BLOCK = 2**20
# Of equal differences of accuracies, which differ in the last bits.
_ROUNDING = 1e-9


def accuracy(units: Units) -> float:
    """The share of the photos that are right."""
    correct, total = units.sum(axis=0)
    return float(correct / total)


def standing(units: Units) -> float:
    """What backgrounds are compared by: the share of right photos, with one right and one wrong one added.

    A background with few photos is not best or worst by luck so easily: 26 of 26 stand below 75 of 76.
    """
    correct, total = units.sum(axis=0)
    return float((correct + 1) / (total + 2))


def p_value(cells: Sequence[Units], draws: int, seed: Seed) -> float:
    """How likely a class's best background is ahead of its worst by as much as here, if no background matters.

    Then units with as many photos may be permuted among the class's backgrounds, each with what was said of its photos;
    units of different sizes are not exchanged, for an average over few large ones strays further. The statistic of a
    permutation is its own highest standing minus its own lowest, so the choice among backgrounds is accounted for.
    p = (1 + permutations whose statistic is at least the one found) / (1 + draws) (Phipson and Smyth 2010).

    Args:
        cells: the units before each background, not empty.
        draws: permutations.
    """
    cells = [units[np.lexsort(units.T)] for units in cells]
    found = max(map(standing, cells)) - min(map(standing, cells))
    permuted = _photos if all((units[:, 1] == 1).all() for units in cells) else _groups
    reached = sum(int((spread >= found - _ROUNDING).sum()) for spread in permuted(cells, draws, seed))
    return (1 + reached) / (1 + draws)


def _photos(cells: Sequence[Units], draws: int, seed: Seed) -> Iterator[NDArray[np.float64]]:
    """Where every photo is a unit of its own: only how many right ones each background gets matters, and is drawn."""
    sizes = [len(units) for units in cells]
    right = sum(int(units[:, 0].sum()) for units in cells)
    drawn = seed.numpy().multivariate_hypergeometric(sizes, right, size=draws, method="marginals")
    yield np.ptp((drawn + 1) / (np.array(sizes) + 2), axis=1)


def _groups(cells: Sequence[Units], draws: int, seed: Seed) -> Iterator[NDArray[np.float64]]:
    units = np.concatenate(cells)
    starts = np.cumsum([0, *(len(cell) for cell in cells[:-1])])
    total = np.add.reduceat(units[:, 1], starts)
    # Each size has a stream of its own, so that nothing depends on how many draws are made at once.
    alike = [(np.flatnonzero(units[:, 1] == size), seed.derive(int(size)).numpy()) for size in np.unique(units[:, 1])]
    block = max(1, _BLOCK // len(units))
    for start in range(0, draws, block):
        correct = np.tile(units[:, 0], (min(block, draws - start), 1))
        for places, generator in alike:
            correct[:, places] = generator.permuted(correct[:, places], axis=1)
        yield np.ptp((np.add.reduceat(correct, starts, axis=1) + 1) / (total + 2), axis=1)
