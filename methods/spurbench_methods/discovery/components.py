"""Principal components of region embeddings: mixtures of Gaussians need few dimensions and few points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spurbench.seeds import Seed

FITTED_ON = 20_000
"""Points at most that anything is fitted on; the rest is only sorted."""


@dataclass(frozen=True)
class Components:
    """Points in their principal components.

    Attributes:
        points: (m, c) float64.
        fitted: (f,) int64 rows that further models should be fitted on, too.
    """

    points: NDArray[np.float64]
    fitted: NDArray[np.int64]


def principal_components(embeddings: torch.Tensor, count: int, seed: Seed) -> Components:
    """(m, d) embeddings in up to `count` components; no more than there are points and dimensions."""
    from sklearn.decomposition import PCA

    rows = np.sort(seed.derive("rows").numpy().permutation(len(embeddings))[:FITTED_ON])
    sample = embeddings[torch.from_numpy(rows)].double().numpy()
    count = min(count, *sample.shape)
    pca: Any = PCA(count, svd_solver="randomized", random_state=seed.derive("components").integer() % 2**32).fit(sample)
    blocks = [pca.transform(block.double().numpy()) for block in torch.split(embeddings, FITTED_ON)]
    return Components(np.concatenate(blocks), rows)
