"""SPARE: separate early, resample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spurbench.cards import MethodCard
from spurbench.heads import L2_GRID, fit_weighted_probes, standardised
from spurbench.method import BatchedMethod, Fitted, Problem, bundles
from spurbench.space import Distribution

from .inference.spare import CLUSTERS, EPOCHS, Clusters, output_clusters

APART = 0.9
"""Silhouette from which clusters count as well separated."""


class SPARE(BatchedMethod):
    """Cluster an early head's outputs within each class, then train with clusters weighted against their size.

    Yang et al. 2024 (arXiv 2305.18761; code: SpuCo). Stage 1: ERM for one or two epochs, k-means on the softmax outputs
    of each class. Stage 2, from scratch: an example of cluster j of class y is drawn with probability proportional to
    |C_yj|^-l, with l = 1 where the class's clusters stand well apart (silhouette of 0.9) and 2 elsewhere, and every
    class the same mass. As in `rwg`, the sampler of a convex head fitted to convergence is its weighted loss.
    """

    card = MethodCard(name="spare", title="SPARE", paper="arXiv 2305.18761")
    space: Mapping[str, Distribution] = {"epochs": EPOCHS, "clusters": CLUSTERS, "C": L2_GRID}

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        """One head each; stage 1 is done anew for each seed."""
        _, x = standardised(problems[0].task)
        weights = {}
        for part in bundles(problems):
            known: dict[tuple[int, int], torch.Tensor] = {}
            for place, config in zip(part.places, part.configs, strict=True):
                stage = int(config["epochs"]), int(config["clusters"])
                if stage not in known:
                    known[stage] = importance(part.task.train.y, output_clusters(part.task, x, *stage))
                weights[place] = known[stage]
        return fit_weighted_probes(problems, [weights[place] for place in range(len(problems))])


def importance(y: torch.Tensor, clusters: Clusters) -> torch.Tensor:
    """(n,) weights of mean 1: |C|^-l within a class, every class that occurs the same mass."""
    weight = torch.zeros(len(y), dtype=torch.float64)
    classes = torch.unique(y).tolist()
    for k in classes:
        members = y == k
        sizes = torch.bincount(clusters.label[members]).double()
        power = 1.0 if clusters.silhouette[k] >= APART else 2.0
        share = sizes[clusters.label[members]] ** -power
        weight[members] = share / share.sum() * len(y) / len(classes)
    return weight.float()
