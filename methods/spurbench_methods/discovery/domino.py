"""Domino: slices that are alike in embedding, label and prediction (Eyuboglu et al. 2022)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import logsumexp

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.seeds import Seed

from .components import principal_components
from .domino_mixture import Array, Mixture, Observed, fit
from .region_clusters import check_regions

COMPONENTS, SLICES, GAMMA = 128, 25, 10.0
"""The authors' principal components, slices of the mixture, and weight of labels and predictions."""
_BLOCK = 20_000


class Domino:
    """An error-aware mixture (Eyuboglu et al. 2022, arXiv 2203.14960; code: HazyResearch/domino).

    The paper models cross-modal embeddings, labels and predictions of a validation set as a mixture of slices in which
    the three are independent; labels and predictions count gamma-fold, so that a slice tends to hold one kind of error.
    Slices are ranked by how much their labels and predictions differ: max_k |P(y = k | s) - P(yhat = k | s)|.

    Here, as in RaVL's study, the points are regions: with the label of their image, and the probabilities that the
    model gives to the region alone. The mixture starts from k-means. A region is of the slice that it most probably
    belongs to; within a slice the most probable come first, of equals those that fit it best.
    """

    card = DiscovererCard("domino", "Domino", "arXiv 2203.14960")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """A finding for each slice that has regions. Raises MethodError where there are none."""
        from sklearn.cluster import KMeans

        check_regions(self.card.name, evidence)
        parts = principal_components(evidence.region_embeddings, COMPONENTS, seed)
        y = np.eye(evidence.n_classes)[evidence.y[evidence.image_of].numpy()]
        seen = Observed(parts.points, y, evidence.region_scores.double().numpy())
        sample = Observed(*(array[parts.fitted] for array in (seen.x, seen.y, seen.predicted)))
        count = min(SLICES, len(np.unique(sample.x, axis=0)))
        start = KMeans(count, n_init=1, random_state=seed.derive("k-means").integer() % 2**32).fit_predict(sample.x)
        mixture = fit(sample, np.eye(count)[start], GAMMA)
        sure, fits, of = _slices(mixture, seen)
        differ = np.abs(mixture.y - mixture.predicted).max(axis=1)
        findings = []
        for s in np.argsort(-differ, kind="stable"):
            rows = np.flatnonzero(of == s)
            if len(rows):
                order = np.lexsort((-fits[rows], -sure[rows]))
                findings.append(Finding(torch.from_numpy(rows[order]), float(differ[s])))
        return Discovery(tuple(findings), facts=(("slices", len(findings)),))


def _slices(mixture: Mixture, seen: Observed) -> tuple[Array, Array, Array]:
    """(m,) posterior probability of the most probable slice, its log joint density, and its number."""
    found = []
    for start in range(0, len(seen.x), _BLOCK):
        here = slice(start, start + _BLOCK)
        joint = mixture.log_joint(Observed(seen.x[here], seen.y[here], seen.predicted[here]), GAMMA)
        best = joint.max(axis=1)
        found.append(np.stack([np.exp(best - logsumexp(joint, axis=1)), best, joint.argmax(axis=1)]))
    sure, fits, of = np.concatenate(found, axis=1)
    return sure, fits, of
