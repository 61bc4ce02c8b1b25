"""What a discoverer is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..cards import DiscovererCard
from ..seeds import Seed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Evidence:
    """What a model under study makes of n labelled images and their m regions. It knows no spurious attribute.

    Attributes:
        y: (n,) int64 classes, 0..K-1.
        image_embeddings: (n, d) float32 unit vectors.
        image_scores: (n, K) float32 softmax of the model's logits.
        image_of: (m,) int64, the image that each region is of, ascending. An image may have no region.
        region_embeddings: (m, d) float32 unit vectors.
        region_scores: (m, K) float32 softmax of the logits that the regions alone would get.
    """

    y: torch.Tensor
    image_embeddings: torch.Tensor
    image_scores: torch.Tensor
    image_of: torch.Tensor
    region_embeddings: torch.Tensor
    region_scores: torch.Tensor

    @property
    def n_classes(self) -> int:
        """K."""
        return self.image_scores.shape[1]

    @property
    def predicted(self) -> torch.Tensor:
        """(n,) int64 classes that the model predicts for the images."""
        return self.image_scores.argmax(dim=1)


@dataclass(frozen=True)
class LabelScore:
    """One class's images with and without a region of some set.

    Attributes:
        label: the class.
        n_in, n_out: images of the class with and without such a region.
        correct_in, correct_out: how many of them the model gets right.
        influence: how often such a region is what errors of the class hang on (H_c^y of RaVL); None where unknown.
    """

    label: int
    n_in: int
    correct_in: int
    n_out: int
    correct_out: int
    influence: float | None = None


@dataclass(frozen=True)
class Finding:
    """A set of regions that is suspected of being spurious.

    Attributes:
        regions: (k,) int64 rows of the evidence's regions, the most typical first; distinct.
        score: larger is more suspicious, in the discoverer's own terms.
        label: the class that the model takes such regions for, or None where the discoverer does not say.
        scores: by class, in ascending order; empty for discoverers that do not compare images with and without.
        p_value: of the score under permutation, adjusted for all sets that were looked at; None where not computed.
        center: (d,) unit vector that membership is decided by (the medoid of a cluster); None where there is none.
    """

    regions: torch.Tensor
    score: float
    label: int | None = None
    scores: tuple[LabelScore, ...] = ()
    p_value: float | None = None
    center: torch.Tensor | None = None


@dataclass(frozen=True)
class Discovery:
    """What a discoverer found.

    Attributes:
        findings: the most suspicious first; none where nothing is suspected.
        centers: (k, d) unit vectors of all clusters that regions were sorted into, whether suspected or not, so that
            further regions can be sorted; None for discoverers that do not cluster.
        facts: what else is worth showing, by name, such as the number of clusters and their silhouette.
    """

    findings: tuple[Finding, ...]
    centers: torch.Tensor | None = None
    facts: tuple[tuple[str, float], ...] = ()


class Discoverer(Protocol):
    """A way to find spurious regions. A class of this shape, registered under its card's name, is all a new one needs.

    It reads no files, prints nothing and takes its randomness from `seed`.
    """

    card: DiscovererCard

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """Find regions. Raises MethodError for evidence that it cannot work with, with the reason."""
