"""Regions in random order: what a discoverer must beat."""

from __future__ import annotations

import torch

from spurbench.cards import DiscovererCard
from spurbench.discovery.contract import Discovery, Evidence, Finding
from spurbench.seeds import Seed

from .region_clusters import check_regions


class RandomRegions:
    """All regions, shuffled, as one finding: the random baseline of RaVL's study (Varma et al. 2024, section 3.2)."""

    card = DiscovererCard("random", "random regions", "-")

    def discover(self, evidence: Evidence, seed: Seed) -> Discovery:
        """One finding. Raises MethodError where there are no regions."""
        check_regions(self.card.name, evidence)
        order = torch.from_numpy(seed.numpy().permutation(len(evidence.image_of)))
        return Discovery((Finding(order, 0.0),))
