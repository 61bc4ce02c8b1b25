"""Yang et al.'s detector of spurious attributes: what goes with errors of a class, and helps it where it is."""

from __future__ import annotations

import torch

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.discovery.significance import Gaps
from spurbench.seeds import Seed

from .region_clusters import count_gaps, images_with, label_scores, most_typical_first, region_clusters

SEEN = 10
"""Images of a class that must have what is suspected for the class."""
TOP = 5
"""Of each class, by mutual information between presence and error."""
GAP = 0.1
"""Accuracy with minus accuracy without, at least."""


class YangDetector:
    """The detector of Yang et al. 2023 (arXiv 2304.03916; code: `tools/`), on clusters of regions.

    The authors have an open-vocabulary detector find the words of a vocabulary in each image. For each class they keep
    the words that it found in 10 images or more, of these the five whose presence says most about whether the image is
    misclassified, and of these the ones whose presence goes with an accuracy higher by 0.1 or more.

    Here there is no vocabulary: the words are clusters of regions, RaVL's, and a word is in an image that has a region
    in the cluster. A cluster that several classes keep is one finding, of the class with the largest difference.
    """

    card = DiscovererCard("yang_detector", "Spurious-aware detection", "arXiv 2304.03916")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """Clusters that help a class. Raises MethodError for too few distinct regions."""
        clusters = region_clusters(self.card.name, evidence, seed.derive("clusters"))
        k = len(clusters.medoids)
        gaps = count_gaps(evidence, *images_with(evidence, clusters.label, k), k)
        information = torch.where(gaps.compared & (gaps.n_in >= SEEN), mutual_information(gaps), -torch.inf)
        top = information.argsort(dim=0, descending=True, stable=True)[:TOP]
        kept = torch.zeros_like(gaps.compared).scatter(0, top, True) & information.isfinite() & (gaps.gap >= GAP)
        best, label = gaps.gap.where(kept, -torch.inf).max(dim=1)
        centers = evidence.region_embeddings[clusters.medoids]
        findings = tuple(
            Finding(
                regions=most_typical_first(evidence, (clusters.label == c).nonzero()[:, 0], centers[c]),
                score=float(best[c]),
                label=int(label[c]),
                scores=label_scores(gaps, c),
                center=centers[c],
            )
            for c in best.argsort(descending=True, stable=True).tolist()
            if best[c].isfinite()
        )
        return Discovery(findings, centers, (("clusters", k), ("silhouette", clusters.silhouette)))


def mutual_information(gaps: Gaps) -> torch.Tensor:
    """(c, K) float64 nats between having a region of the cluster and being misclassified, among a class's images."""
    counts = [
        [gaps.correct_in, gaps.n_in - gaps.correct_in],
        [gaps.correct_out, gaps.n_out - gaps.correct_out],
    ]
    joint = torch.stack([torch.stack(row) for row in counts]).double()
    joint /= joint.sum(dim=(0, 1)).clamp(min=1)
    apart = joint.sum(dim=0, keepdim=True) * joint.sum(dim=1, keepdim=True)
    # 0 log 0 = 0.
    return torch.where(joint > 0, joint * (joint / apart).log(), 0.0).sum(dim=(0, 1))
