"""Pseudo-groups from clusters of features within classes, as in GEORGE."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from spurbench.cards import InferenceCard
from spurbench.method import Task
from spurbench.space import Choice, Config, Distribution

from .spare import clusters_within_classes

COMPONENTS = 20
"""Principal components that are clustered: distances in a thousand dimensions say little."""


class George:
    """Clusters of features within each class (Sohoni et al. 2020, arXiv 2011.12945, "No subclass left behind").

    The paper clusters a trained network's features after UMAP, with the number of clusters chosen by the silhouette.
    Here the frozen embeddings are the features, reduced to principal components in place of UMAP.
    """

    card = InferenceCard(name="george", title="clusters of features", paper="arXiv 2011.12945")
    space: Mapping[str, Distribution] = {"clusters": Choice(0, 2, 3, 4, 5)}

    def infer(self, task: Task, config: Config) -> torch.Tensor:
        """(n,) number of the cluster within the class."""
        from sklearn.decomposition import PCA

        x = task.train.embeddings().double().numpy()
        count = min(COMPONENTS, *x.shape)
        seed = task.seed.derive("components").integer() % 2**32
        reduced = PCA(count, svd_solver="randomized", random_state=seed).fit_transform(x)
        return clusters_within_classes(task, torch.from_numpy(reduced), int(config["clusters"])).label
