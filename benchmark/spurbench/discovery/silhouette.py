"""How well clusters stand apart."""

from __future__ import annotations

import torch


def silhouette(sums: torch.Tensor, size: torch.Tensor, label: torch.Tensor) -> float:
    """Mean over points of (b - a) / max(a, b), and of 0 for points that are alone in their cluster.

    a is the mean distance to the other members of the point's own cluster, b the least mean distance to the members of
    another one (Rousseeuw 1987). 0 where there are fewer than two clusters with members.

    Args:
        sums: (k, m) summed distance from each point to all members of each cluster, itself included; in any unit.
        size: (k,) int64 members of each cluster.
        label: (m,) int64, each point's cluster, of k.
    """
    if int((size > 0).sum()) < 2:
        return 0.0
    own = size[label]
    a = sums.gather(0, label[None])[0] / (own - 1).clamp(min=1)
    means = sums / size[:, None]
    means[size == 0] = torch.inf
    b = means.scatter(0, label[None], torch.inf).amin(dim=0)
    apart = torch.where(own > 1, (b - a) / torch.maximum(a, b), 0.0)
    # 0 / 0: the point coincides with its own cluster and with the nearest other one.
    return float(apart.nan_to_num(0.0).double().mean())
