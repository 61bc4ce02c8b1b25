"""Precision@K: how many of the regions that a discoverer shows first are spurious indeed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def precision_at(regions: torch.Tensor, truth: torch.Tensor, k: int) -> float:
    """Share of the first k regions that show the planted feature (Varma et al. 2024, RaVL, section 3.2; there k = 10).

    Regions that are missing count as wrong: who shows fewer than k is not rewarded for it.

    Args:
        regions: (r,) int64 distinct rows of `truth`, the most typical first.
        truth: (m,) bool, whether each region shows the feature.
        k: at least 1, or ValueError.
    """
    return precision_curve(regions, truth, [k])[0]


def precision_curve(regions: torch.Tensor, truth: torch.Tensor, ks: Sequence[int]) -> list[float]:
    """`precision_at` for each of some k."""
    if min(ks, default=1) < 1:
        raise ValueError(f"precision is of the first 1 or more regions, not {min(ks)}")
    hits = truth[regions].cpu()
    return [int(hits[:k].sum()) / k for k in ks]
