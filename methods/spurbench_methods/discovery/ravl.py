"""RaVL: clusters of regions, by how much the model's accuracy depends on them (Varma et al. 2024, NeurIPS)."""

from __future__ import annotations

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.discovery.significance import holm, p_values
from spurbench.errors import UsageError
from spurbench.seeds import Seed
from spurbench.space import Switch

from .ravl_scores import ravl_scores
from .region_clusters import label_scores, most_typical_first, region_clusters

INFLUENCE = 0.25
"""H_c below which a cluster is dropped."""
PARAMETERS = {"filter": Switch("paper", "released"), "score": Switch("full", "weighted", "unweighted")}


class RaVL:
    """RaVL's discovery stage (Varma et al. 2024, section 3.1; code: Stanford-AIMI/RaVL).

    Regions are clustered by K-medoids; clusters are ranked by G_c, the sum over classes of the weighted gap in accuracy
    between images with and without a region of the cluster; those are dropped on which errors do not hang (H_c < 0.25).
    A cluster without any gap is never a finding. The correlated class is the one that the regions help most, the
    largest p_in - p_out; of equals the first.

    Parameters, as in `ravl:filter=released:score=weighted`:
        filter: `paper`; or `released`, as the code has it: a cluster must also help some class and hurt another, and
            images of one region only do not count in H_c.
        score: `full`; the paper's ablations are `weighted`, which drops nothing for its H_c, and `unweighted`, in which
            moreover every class counts the same in G_c.

    p-values are of G_c when it is permuted within classes which images are right, adjusted for all clusters.
    """

    usage = "ravl[:filter=paper][:score=full]"

    def __init__(self, argument: str = "") -> None:
        set_to = _parameters(argument)
        said = [f"{key}={value}" for key, value in set_to.items()]
        self.card = DiscovererCard(":".join(["ravl", *said]), ", ".join(["RaVL", *said]), "arXiv 2411.04097")
        self._released = set_to.get("filter") == "released"
        self._score = set_to.get("score", "full")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """Clusters that the model seems to rely on. Raises MethodError for too few distinct regions."""
        name = self.card.name
        clusters = region_clusters(name, evidence, seed.derive("clusters"))
        k = len(clusters.medoids)
        scores = ravl_scores(evidence, clusters.label, k, weighted=self._score != "unweighted", lone=not self._released)
        kept = scores.score > 0
        if self._score == "full":
            kept &= scores.most_influence >= INFLUENCE
        if self._released:
            kept &= (scores.gap > 0).any(dim=1) & (scores.gap < 0).any(dim=1)
        p = holm(p_values(scores.gaps, scores.weight, seed.derive("permutations")))
        centers = evidence.region_embeddings[clusters.medoids]
        ranked = [c for c in scores.score.argsort(descending=True, stable=True).tolist() if kept[c]]
        findings = tuple(
            Finding(
                regions=most_typical_first(evidence, (clusters.label == c).nonzero()[:, 0], centers[c]),
                score=float(scores.score[c]),
                label=int(scores.gaps.gap[c].where(scores.gaps.compared[c], float("-inf")).argmax()),
                scores=label_scores(scores.gaps, c, scores.influence[c]),
                p_value=float(p[c]),
                center=centers[c],
            )
            for c in ranked
        )
        return Discovery(findings, centers, (("clusters", k), ("silhouette", clusters.silhouette)))


def _parameters(argument: str) -> dict[str, str]:
    """`NAME=VALUE:NAME=VALUE`, those that differ from the defaults, in alphabetical order. Raises UsageError."""
    found: dict[str, str] = {}
    for part in filter(None, argument.split(":")):
        name, equals, value = part.partition("=")
        if not equals or name not in PARAMETERS or name in found:
            raise UsageError(f"'ravl:{argument}': write {RaVL.usage}, each once; parameters: {', '.join(PARAMETERS)}")
        try:
            found[name] = str(PARAMETERS[name].pinned(value).first)
        except ValueError as error:
            raise UsageError(f"'ravl:{argument}': {name} {error}") from error
    return {name: found[name] for name in sorted(found) if found[name] != PARAMETERS[name].first}
