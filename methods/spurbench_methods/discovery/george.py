"""GEORGE: clusters within classes, by how much worse the model does on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.seeds import Seed

from .components import principal_components
from .region_clusters import check_regions

COMPONENTS = 20
MOST = 10
"""Clusters within a class at most; the authors' code tries 2 to 10."""
SILHOUETTE_SAMPLE = 2000


class George:
    """Clusters of each class's regions (Sohoni et al. 2020, arXiv 2011.12945, "No subclass left behind").

    The paper clusters a trained network's features of each class, reduced by UMAP, by a mixture of Gaussians whose
    number the silhouette chooses, and takes the clusters for the hidden groups that the model may do badly on. Here the
    features are the embeddings of the regions of the class's images, as in RaVL's study, principal components are in
    place of UMAP, and each component of the mixture has one variance for each of them. A cluster's score is the
    accuracy on the class's images minus that on those which have a region in it; clusters on which the model does not
    do worse are no findings. The regions nearest to the component's mean come first.
    """

    card = DiscovererCard("george", "GEORGE", "arXiv 2011.12945")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """Clusters of lower accuracy. Raises MethodError where there are no regions."""
        check_regions(self.card.name, evidence)
        right = (evidence.predicted == evidence.y).double()
        y = evidence.y[evidence.image_of]
        findings = []
        for k in range(evidence.n_classes):
            rows = torch.nonzero(y == k)[:, 0]
            if len(rows) < 3:
                continue
            label, distance = _clusters(evidence.region_embeddings[rows], seed.derive("class", k))
            accuracy = float(right[evidence.y == k].mean())
            for c in np.unique(label):
                inside = np.flatnonzero(label == c)
                members = rows[torch.from_numpy(inside[np.argsort(distance[inside], kind="stable")])]
                worse = accuracy - float(right[torch.unique(evidence.image_of[members])].mean())
                if worse > 0:
                    findings.append(Finding(members, worse))
        return Discovery(tuple(sorted(findings, key=lambda finding: -finding.score)))


def _clusters(embeddings: torch.Tensor, seed: Seed) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(m,) cluster of each point, of the number whose silhouette is best, and (m,) distance to the cluster's mean."""
    from sklearn.metrics import silhouette_score
    from sklearn.mixture import GaussianMixture

    parts = principal_components(embeddings, COMPONENTS, seed)
    sample = parts.points[parts.fitted]
    distinct = len(np.unique(sample, axis=0))
    looked_at = seed.derive("silhouette").numpy().permutation(len(sample))[:SILHOUETTE_SAMPLE]
    best: tuple[float, Any] = (-np.inf, None)
    for count in range(1, min(MOST, distinct - 1) + 1):
        random_state = seed.derive("mixture", count).integer() % 2**32
        mixture = GaussianMixture(count, covariance_type="diag", max_iter=500, random_state=random_state).fit(sample)
        label = mixture.predict(sample[looked_at])
        several = 1 < len(np.unique(label)) < len(label)
        score = float(silhouette_score(sample[looked_at], label)) if several else 0.0
        if score > best[0]:
            best = score, mixture
    if best[1] is None:
        return np.zeros(len(embeddings), np.int64), np.zeros(len(embeddings))
    found = best[1].predict(parts.points).astype(np.int64)
    return found, np.linalg.norm(parts.points - best[1].means_[found], axis=1)
