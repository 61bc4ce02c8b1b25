"""K-medoids by alternation on cosine distances, in exact arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import UsageError
from ..seeds import Seed

# Distances are whole multiples of 1 / UNIT, and sums of up to MOST of them fit into 31 bits. So sums are exact in every
# order: they can be kept up to date as points move without drifting, points that coincide tie exactly, and the cost
# falls strictly with every medoid that is exchanged, so that the alternation ends.
UNIT = 2**17
"""How many units of distance make a distance of 1."""
MOST = 8192
"""Points that can be clustered at once."""
BLOCK = 1024
"""Points on each side of the products that distances are computed in."""


@dataclass(frozen=True)
class Partition:
    """Points sorted to the nearest of k medoids.

    Attributes:
        medoids: (k,) int64, the point that each cluster is about.
        label: (m,) int64, each point's cluster.
        sums: (k, m) int32, summed distance, in units, from each point to all members of each cluster.
    """

    medoids: torch.Tensor
    label: torch.Tensor
    sums: torch.Tensor


def distances(embeddings: torch.Tensor) -> torch.Tensor:
    """(m, m) int32 distances clip(1 - <e_i, e_j>, 0, 1) in units, symmetric, with a zero diagonal.

    Negative cosines saturate: what points away is as far as what is orthogonal (Varma et al. 2024, RaVL, section 3.1,
    and its code).

    Args:
        embeddings: (m, d) floating unit vectors, m up to MOST. Raises UsageError for more.
    """
    if len(embeddings) > MOST:
        raise UsageError(f"{len(embeddings)} points are too many to compare all pairs of; sample {MOST} of them")
    x = embeddings.float()
    found = torch.empty(len(x), len(x), dtype=torch.int32)
    for top in range(0, len(x), BLOCK):
        for left in range(top, len(x), BLOCK):
            rows, columns = slice(top, top + BLOCK), slice(left, left + BLOCK)
            block = (x[rows] @ x[columns].T).neg_().add_(1).clamp_(0, 1).mul_(UNIT).round_().int()
            # The last bits of a product may depend on which side a row stands: the upper half decides.
            found[columns, rows] = block.T
            found[rows, columns] = block.triu() + block.triu(1).T if top == left else block
    return found.fill_diagonal_(0)


def starts(dist: torch.Tensor, k: int, seed: Seed) -> torch.Tensor:
    """(k,) int64 distinct points to start from, drawn one after the other.

    As k-means++ (Arthur and Vassilvitskii 2007) with distances between points, and with its greedy trials: of some
    candidates drawn in proportion to the squared distance to the nearest start, the one that leaves the least sum of
    such squares. Where every point coincides with a start, the first points that are no starts follow.
    """
    generator = seed.numpy()
    chosen = torch.zeros(len(dist), dtype=torch.bool)
    first = int(generator.integers(len(dist)))
    found = [first]
    chosen[first] = True
    nearest = dist[first].long() ** 2
    for _ in range(1, k):
        cumulative = nearest.cumsum(0)
        total = int(cumulative[-1])
        if total == 0:
            point = int(torch.nonzero(~chosen)[0, 0])
        else:
            drawn = torch.from_numpy(generator.integers(total, size=2 + int(math.log(k))))
            candidates = torch.searchsorted(cumulative, drawn, right=True)
            left = torch.minimum(nearest, dist[candidates].long() ** 2)
            best = int(left.sum(dim=1).argmin())
            point, nearest = int(candidates[best]), left[best]
        found.append(point)
        chosen[point] = True
    return torch.tensor(found)


def alternate(dist: torch.Tensor, medoids: torch.Tensor) -> Partition:
    """Sort points to their nearest medoid, then make that member of each cluster its medoid whose summed distance to
    the others is least; again, until nothing changes.

    Ties go to the cluster of the smaller number, to the medoid of before, then to the smaller point. A cluster without
    members, which only medoids that coincide leave, keeps its medoid.

    Args:
        dist: (m, m) int32 from `distances`.
        medoids: (k,) int64 distinct points to start from.
    """
    m, k = len(dist), len(medoids)
    points = torch.arange(m)
    label = dist[medoids].argmin(dim=0)
    sums = sums_by_cluster(dist, label, k)
    while True:
        own = sums.gather(0, label[None])[0].long()
        # One number that orders by summed distance first and by the point's own number second.
        key = torch.full((k,), np.iinfo(np.int64).max).scatter_reduce(0, label, own * m + points, "amin")
        inside = label[medoids] == torch.arange(k)
        better = inside & (torch.div(key, m, rounding_mode="floor") < own[medoids])
        if not better.any():
            return Partition(medoids, label, sums)
        medoids = torch.where(better, key % m, medoids)
        before, label = label, dist[medoids].argmin(dim=0)
        moved = torch.nonzero(label != before)[:, 0]
        if 2 * len(moved) > m:
            sums = sums_by_cluster(dist, label, k)
        else:
            rows = dist[moved]
            sums.index_add_(0, before[moved], rows, alpha=-1).index_add_(0, label[moved], rows.neg_(), alpha=-1)


def sums_by_cluster(dist: torch.Tensor, label: torch.Tensor, k: int) -> torch.Tensor:
    """(k, m) int32 sums of the distances from each point to all members of each cluster."""
    # Subtracted: torch adds whole rows of integers at once only where there is a factor, ten times as fast.
    return torch.zeros(k, dist.shape[1], dtype=torch.int32).index_add_(0, label, dist, alpha=-1).neg_()
