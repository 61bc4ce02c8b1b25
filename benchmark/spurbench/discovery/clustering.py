"""Clusters of unit vectors whose number the silhouette chooses, of any number of them in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import MethodError
from ..seeds import Seed
from .medoids import MOST, Partition, alternate, distances, starts
from .silhouette import silhouette

SAMPLES, SAMPLE = 3, 4096
"""Where there are more than MOST points, samples that are clustered in their place, and the size of each."""
JUDGES, LOOKED_AT, PARTNERS = 8192, 4096, 1024
"""Points at most that samples' medoids are tried on, of these the points whose silhouettes are averaged, and those that
they may have negative cosines with."""
TRIED = 60
"""Numbers of clusters at most that are tried."""
_BLOCK = 2048


@dataclass(frozen=True)
class Clustering:
    """Points sorted to medoids.

    Attributes:
        medoids: (k,) int64 points that the clusters are about.
        label: (m,) int64 cluster of each point.
        silhouette: mean over points, exact or on a sample of them.
    """

    medoids: torch.Tensor
    label: torch.Tensor
    silhouette: float


def cluster_counts(n_classes: int) -> list[int]:
    """The numbers of clusters that RaVL tries (Varma et al. 2024, section 3.1): 2|Y| to 5|Y|, the latter excluded.

    With more than 20 classes only TRIED of them, as evenly spaced as they can be; the smallest always is among them.
    """
    every = range(2 * n_classes, 5 * n_classes)
    return [every[i * len(every) // TRIED] for i in range(TRIED)] if len(every) > TRIED else list(every)


def cluster(embeddings: torch.Tensor, counts: Sequence[int], seed: Seed) -> Clustering:
    """K-medoids with that number of clusters whose silhouette is best; of equals, the smallest.

    The best silhouette may be negative: it is the best all the same. Up to MOST points all pairs are compared. Of more,
    several samples are clustered, as CLARA does (Kaufman and Rousseeuw 1990), but among their medoids, too, the
    silhouette decides, as it does between numbers of clusters, and not the cost.

    Args:
        embeddings: (m, d) floating unit vectors; half precision will do.
        counts: numbers of clusters to try, ascending; those are left out that are not below the number of distinct
            points. Raises MethodError if that leaves none.
    """
    if len(embeddings) <= MOST:
        found = [
            Clustering(
                p.medoids, p.label, silhouette(p.sums, torch.bincount(p.label, minlength=len(p.medoids)), p.label)
            )
            for p in _partitions(embeddings, counts, seed.derive("all"))
        ]
        return max(found, key=lambda clustering: clustering.silhouette)
    judge = _Judge(embeddings[_sample(len(embeddings), JUDGES, seed.derive("judges"))], seed)
    tried: list[tuple[float, int, torch.Tensor]] = []
    for i in range(SAMPLES):
        rows = _sample(len(embeddings), SAMPLE, seed.derive("sample", i))
        for partition in _partitions(embeddings[rows], counts, seed.derive("in sample", i)):
            medoids = rows[partition.medoids]
            tried.append((judge.silhouette(embeddings[medoids]), -len(medoids), medoids))
    score, _, medoids = max(tried, key=lambda item: item[:2])
    return Clustering(medoids, nearest(embeddings, embeddings[medoids]), score)


def nearest(embeddings: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """(m,) int64 center that is nearest to each point by clip(1 - cosine, 0, 1), of equals the first.

    Args:
        embeddings: (m, d) floating unit vectors.
        centers: (k, d) floating unit vectors, k > 0.
    """
    centers = centers.float()
    blocks = torch.split(embeddings, _BLOCK)
    return torch.cat([(centers @ block.float().T).clamp_(0, 1).argmax(dim=0) for block in blocks])


class _Judge:
    """Estimates silhouettes on a sample of all points.

    Sums of distances 1 - cosine follow from each cluster's sum of vectors, so that every member counts and no
    cluster is too small to be seen. What is too much in them where cosines are negative is learnt from fewer points.
    """

    def __init__(self, sample: torch.Tensor, seed: Seed) -> None:
        self._judges = sample.float()
        self._looked_at = _sample(len(sample), LOOKED_AT, seed.derive("looked at"))
        self._partners = _sample(len(sample), PARTNERS, seed.derive("partners"))
        self._points = self._judges[self._looked_at]
        self._excess = (self._judges[self._partners] @ self._points.T).neg_().clamp_(min=0)

    def silhouette(self, centers: torch.Tensor) -> float:
        """Of all points sorted to these (k, d) centers."""
        k = len(centers)
        label = nearest(self._judges, centers)
        size = torch.bincount(label, minlength=k)
        total = torch.zeros(k, self._judges.shape[1]).index_add_(0, label, self._judges)
        # Few points are enough for a low silhouette of many: clusters that the sample misses are there by their medoid.
        missed = size == 0
        size[missed], total[missed] = 1, centers[missed].float()
        partner = label[self._partners]
        excess = torch.zeros(k, len(self._points)).index_add_(0, partner, self._excess)
        excess /= torch.bincount(partner, minlength=k).clamp(min=1)[:, None]
        sums = size[:, None] * (1 - excess) - total @ self._points.T
        return silhouette(sums, size, label[self._looked_at])


def _partitions(embeddings: torch.Tensor, counts: Sequence[int], seed: Seed) -> Iterator[Partition]:
    """The partition into each number of clusters that there are enough distinct points for. Raises MethodError."""
    dist = distances(embeddings)
    # A point coincides with an earlier one where its first zero distance is not that to itself.
    distinct = int((dist.argmin(dim=1) == torch.arange(len(dist))).sum())
    feasible = [k for k in counts if k < distinct]
    if not feasible:
        raise MethodError(
            f"{counts[0]} clusters or more are looked for, which needs {counts[0] + 1} distinct regions; of "
            f"{len(dist)} there are {distinct}: give more images, or more regions of each"
        )
    for k in feasible:
        yield alternate(dist, starts(dist, k, seed.derive(k)))


def _sample(m: int, size: int, seed: Seed) -> torch.Tensor:
    """(min(m, size),) int64 distinct numbers below m, ascending."""
    return torch.from_numpy(np.sort(seed.numpy().choice(m, min(m, size), replace=False)))
