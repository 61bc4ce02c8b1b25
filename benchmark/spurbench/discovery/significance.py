"""How likely performance gaps as large as those of a cluster are by chance: permutation tests, adjusted for many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..seeds import Seed

DRAWS = 9999
"""Permutations of which images are right; the least p-value is one in DRAWS + 1, before it is adjusted."""
_BLOCK = 2**20
# Of sums of the same gaps in another order, which differ in the last bits.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Gaps:
    """Images of each class with and without a region of each of c clusters, and how many of them are right.

    Attributes:
        n_in, correct_in, n_out, correct_out: (c, K) int64.
    """

    n_in: torch.Tensor
    correct_in: torch.Tensor
    n_out: torch.Tensor
    correct_out: torch.Tensor

    @property
    def compared(self) -> torch.Tensor:
        """(c, K) bool, whether there are images with and images without."""
        return (self.n_in > 0) & (self.n_out > 0)

    @property
    def gap(self) -> torch.Tensor:
        """(c, K) float64 accuracy with minus accuracy without; 0 where there is nothing to compare."""
        p_in = self.correct_in / self.n_in.clamp(min=1).double()
        p_out = self.correct_out / self.n_out.clamp(min=1).double()
        return torch.where(self.compared, p_in - p_out, 0.0)


def p_values(gaps: Gaps, weight: torch.Tensor, seed: Seed, draws: int = DRAWS) -> torch.Tensor:
    """(c,) float64 p-values of the clusters' scores sum_y weight_y |gap_y|, not adjusted.

    The hypothesis is that within each class being right has nothing to do with having a region of the cluster. Then
    which images of the class are right may be permuted among them, and how many of those n_in are that have a region is
    hypergeometric: that number is drawn. p = (1 + permutations whose score is at least the cluster's) / (1 + draws)
    (Phipson and Smyth 2010).

    Args:
        weight: (c, K) float64, not negative.
        draws: permutations of each cluster.
    """
    score = (weight * gaps.gap.abs()).sum(dim=1)
    found = torch.ones(len(score), dtype=torch.float64)
    for c in range(len(score)):
        # Where all images are right, or all wrong, or nothing is compared, every permutation has the gap 0.
        right = gaps.correct_in[c] + gaps.correct_out[c]
        varies = gaps.compared[c] & (right > 0) & (right < gaps.n_in[c] + gaps.n_out[c])
        if varies.any():
            n_in, n_out, of = (x[c, varies].numpy() for x in (gaps.n_in, gaps.n_out, weight))
            found[c] = _p_value(float(score[c]), right[varies].numpy(), n_in, n_out, of, seed.derive(c), draws)
    return found


def _p_value(
    score: float,
    right: NDArray[np.int64],
    n_in: NDArray[np.int64],
    n_out: NDArray[np.int64],
    weight: NDArray[np.float64],
    seed: Seed,
    draws: int,
) -> float:
    generator = seed.numpy()
    block = max(1, _BLOCK // len(right))
    reached = 0
    for start in range(0, draws, block):
        size = (min(block, draws - start), len(right))
        inside = generator.hypergeometric(right, n_in + n_out - right, n_in, size=size)
        gap = np.abs(inside / n_in - (right - inside) / n_out)
        reached += int((gap @ weight >= score - _ROUNDING).sum())
    return (1 + reached) / (1 + draws)


def holm(p: torch.Tensor) -> torch.Tensor:
    """(c,) p-values adjusted so that all of them together are right with the confidence of one (Holm 1979).

    The smallest is multiplied by c, the next by c - 1, and so on; none may fall below one before it, or exceed 1.
    """
    order = torch.argsort(p, stable=True)
    factors = torch.arange(len(p), 0, -1).to(p)
    adjusted = (p[order] * factors).clamp(max=1).cummax(dim=0).values if len(p) else p
    return torch.empty_like(p).scatter_(0, order, adjusted)
