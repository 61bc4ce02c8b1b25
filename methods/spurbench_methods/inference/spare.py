"""Pseudo-groups from clusters of an ERM head's outputs after an epoch or two, as in stage 1 of SPARE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spurbench.cards import InferenceCard
from spurbench.heads import early_logits, standardised
from spurbench.method import Task
from spurbench.space import Choice, Config, Distribution

EPOCHS = Choice(1, 2)
CLUSTERS = Choice(4, 2, 3, 0)
"""Clusters per class: four in the authors' Waterbirds script; 0 leaves the choice to the silhouette."""
MOST = 5
"""Clusters per class that the silhouette chooses among, from 2."""
SILHOUETTE_SAMPLE = 1000
BATCH = 128


@dataclass(frozen=True)
class Clusters:
    """Clusters within classes.

    Attributes:
        label: (n,) cluster of each example, numbered from 0 within its class.
        silhouette: by class, how well its clusters stand apart; 0 for a class that has one only.
    """

    label: torch.Tensor
    silhouette: tuple[float, ...]


class Spare:
    """Clusters of softmax outputs within each class (Yang et al. 2024, arXiv 2305.18761; code: SpuCo)."""

    card = InferenceCard(name="spare", title="clusters of early outputs", paper="arXiv 2305.18761")
    space: Mapping[str, Distribution] = {"epochs": EPOCHS, "clusters": CLUSTERS}

    def infer(self, task: Task, config: Config) -> torch.Tensor:
        """(n,) number of the cluster within the class."""
        _, x = standardised(task)
        return output_clusters(task, x, int(config["epochs"]), int(config["clusters"])).label


def output_clusters(task: Task, x: torch.Tensor, epochs: int, clusters: int) -> Clusters:
    """k-means on the softmax outputs of each class after `epochs` epochs of ERM; x (n, d) standardised."""
    steps = epochs * -(-len(x) // BATCH)
    outputs = torch.softmax(early_logits(task, x, [steps])[steps], dim=1)
    return clusters_within_classes(task, outputs.cpu(), clusters)


def clusters_within_classes(task: Task, points: torch.Tensor, clusters: int) -> Clusters:
    """k-means (scikit-learn) on the points (n, m) of each class: into `clusters`, or if 0 as the silhouette says."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    label = torch.zeros(len(points), dtype=torch.int64)
    best = []
    for k in range(task.n_classes):
        members = torch.nonzero(task.train.y == k)[:, 0]
        here = points[members].double().numpy()
        distinct = len(torch.unique(points[members], dim=0))
        tried: list[tuple[float, torch.Tensor]] = [(0.0, torch.zeros(len(members), dtype=torch.int64))]
        for count in [clusters] if clusters else range(2, MOST + 1):
            if count < 2 or distinct <= count:
                continue
            seed = task.seed.derive("k-means", k, count).integer() % 2**32
            assigned = KMeans(count, n_init=3, random_state=seed).fit_predict(here)
            sample = _sample(assigned, np.random.default_rng(seed))
            score = silhouette_score(here[sample], assigned[sample])
            tried.append((float(score), torch.from_numpy(assigned).long()))
        score, found = max(tried, key=lambda pair: pair[0]) if not clusters else tried[-1]
        label[members] = found
        best.append(score)
    return Clusters(label, tuple(best))


def _sample(assigned: NDArray[np.int32], generator: np.random.Generator) -> NDArray[np.int64]:
    """Some members of every cluster, in proportion to its size but two at least: a silhouette compares all pairs."""
    share = min(1.0, SILHOUETTE_SAMPLE / len(assigned))
    parts = []
    for cluster in np.unique(assigned):
        members = generator.permutation(np.flatnonzero(assigned == cluster))
        parts.append(members[: max(2, round(share * len(members)))])
    return np.concatenate(parts)
