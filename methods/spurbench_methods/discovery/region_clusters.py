"""Clusters of a model's regions, and its accuracy with and without each: what RaVL and Yang's detector start from."""

from __future__ import annotations

import torch

from spurbench.discovery.clustering import Clustering, cluster, cluster_counts
from spurbench.discovery.contract import Evidence, LabelScore
from spurbench.discovery.significance import Gaps
from spurbench.errors import MethodError
from spurbench.seeds import Seed


def check_regions(name: str, evidence: Evidence) -> None:
    """Raise MethodError if there are no regions, or embeddings that are not numbers."""
    if not len(evidence.image_of):
        raise MethodError(f"{name}: there are no regions to look at; choose regions that images have")
    if not evidence.region_embeddings.sum().isfinite() or not evidence.region_scores.sum().isfinite():
        raise MethodError(f"{name}: regions' embeddings or scores are not finite numbers; the model has diverged")


def region_clusters(name: str, evidence: Evidence, seed: Seed) -> Clustering:
    """The regions' clusters as RaVL's (Varma et al. 2024, section 3.1). Raises MethodError for too few regions."""
    check_regions(name, evidence)
    try:
        return cluster(evidence.region_embeddings, cluster_counts(evidence.n_classes), seed)
    except MethodError as error:
        raise MethodError(f"{name}: {error}") from error


def images_with(evidence: Evidence, label: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(p,) images and (p,) clusters: each pair of an image and a cluster that one of its regions is in, once."""
    pair = torch.unique(evidence.image_of * k + label)
    return torch.div(pair, k, rounding_mode="floor"), pair % k


def count_gaps(evidence: Evidence, image: torch.Tensor, cluster_of: torch.Tensor, k: int) -> Gaps:
    """Images of each class with and without, from the pairs of `images_with`. Images without regions are without."""
    n_classes, y = evidence.n_classes, evidence.y
    right = evidence.predicted == y
    cell = cluster_of * n_classes + y[image]

    def table(cells: torch.Tensor, rows: int) -> torch.Tensor:
        return torch.bincount(cells, minlength=rows * n_classes).reshape(rows, n_classes)

    n_in, correct_in = table(cell, k), table(cell[right[image]], k)
    return Gaps(n_in, correct_in, table(y, 1) - n_in, table(y[right], 1) - correct_in)


def most_typical_first(evidence: Evidence, members: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """(k,) the members, of largest cosine to the center first; of equals the smaller number."""
    cosine = evidence.region_embeddings[members] @ center
    return members[cosine.argsort(descending=True, stable=True)]


def label_scores(gaps: Gaps, c: int, influence: torch.Tensor | None = None) -> tuple[LabelScore, ...]:
    """The classes that some image with a region of cluster c has; influence (K,), NaN where it is unknown."""
    return tuple(
        LabelScore(
            label=k,
            n_in=int(gaps.n_in[c, k]),
            correct_in=int(gaps.correct_in[c, k]),
            n_out=int(gaps.n_out[c, k]),
            correct_out=int(gaps.correct_out[c, k]),
            influence=None if influence is None or influence[k].isnan() else float(influence[k]),
        )
        for k in torch.nonzero(gaps.n_in[c])[:, 0].tolist()
    )
