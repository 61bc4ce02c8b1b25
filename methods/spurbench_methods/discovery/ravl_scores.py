"""RaVL's scores of clusters of regions (Varma et al. 2024, NeurIPS, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from spurbench.discovery.contract import Evidence
from spurbench.discovery.significance import Gaps

from .region_clusters import count_gaps, images_with


@dataclass(frozen=True)
class RaVLScores:
    """Scores of c clusters.

    Attributes:
        gaps: images with and without, and how many are right.
        weight: (c, K) w_y = 2 min(n_in, n_out) / (n_in + n_out), 0 where nothing is compared.
        gap: (c, K) G_c^y = weight * (p_in - p_out).
        score: (c,) G_c = sum_y |G_c^y|.
        influence: (c, K) H_c^y, NaN where no image of the class is in Err_c.
    """

    gaps: Gaps
    weight: torch.Tensor
    gap: torch.Tensor
    score: torch.Tensor
    influence: torch.Tensor

    @property
    def most_influence(self) -> torch.Tensor:
        """(c,) H_c = max_y H_c^y, -inf where there is none."""
        return self.influence.nan_to_num(nan=-torch.inf).amax(dim=1)


def ravl_scores(
    evidence: Evidence, label: torch.Tensor, k: int, *, weighted: bool = True, lone: bool = True
) -> RaVLScores:
    """Score k clusters.

    Err_c are the misclassified images with a region in c whose class has p_in < p_out; H_c^y is the share of those of
    class y of whose regions the one that looks most like the class that was predicted (argmax S_R[r, yhat]; of equals
    the first) is in c.

    Args:
        label: (m,) int64 cluster of each region.
        weighted: whether w_y is as above, or 1 for all classes that are compared (the paper's ablation).
        lone: whether images of one region only count in Err_c; the released code leaves them out.
    """
    image, cluster_of = images_with(evidence, label, k)
    gaps = count_gaps(evidence, image, cluster_of, k)
    weight = 2 * torch.minimum(gaps.n_in, gaps.n_out) / (gaps.n_in + gaps.n_out).clamp(min=1).double()
    weight = weight if weighted else gaps.compared.double()
    gap = weight * gaps.gap

    y = evidence.y[image]
    counted = (evidence.predicted != evidence.y)[image] & (gaps.gap < 0)[cluster_of, y]
    if not lone:
        counted &= torch.bincount(evidence.image_of, minlength=len(evidence.y))[image] > 1
    image, cluster_of, y = image[counted], cluster_of[counted], y[counted]
    cell = cluster_of * evidence.n_classes + y
    blamed = label[_most_like_prediction(evidence)[image]] == cluster_of
    errors = torch.bincount(cell, minlength=k * evidence.n_classes)
    hits = torch.bincount(cell[blamed], minlength=k * evidence.n_classes)
    influence = (hits.double() / errors).reshape(k, evidence.n_classes)
    return RaVLScores(gaps, weight, gap, gap.abs().sum(dim=1), influence)


def _most_like_prediction(evidence: Evidence) -> torch.Tensor:
    """(n,) int64 region of each image with the largest score for the class that is predicted; m where it has none."""
    n, m = len(evidence.y), len(evidence.image_of)
    score = evidence.region_scores.gather(1, evidence.predicted[evidence.image_of][:, None])[:, 0]
    most = torch.full((n,), -torch.inf, dtype=score.dtype).scatter_reduce(0, evidence.image_of, score, "amax")
    best = torch.nonzero(score == most[evidence.image_of])[:, 0]
    return torch.full((n,), m).scatter_reduce(0, evidence.image_of[best], best, "amin")
