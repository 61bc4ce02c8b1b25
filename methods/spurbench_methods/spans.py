"""Orthonormal bases of the span of text directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPS = float(np.finfo(np.float32).eps)
"""Rounding of what embeddings are stored in: smaller parts of them are noise, however exactly one computes."""


def span_basis(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(r, d) orthonormal rows that span the (m, d) rows, r their numerical rank.

    By singular values: those below the largest times max(m, d) times float32's rounding are taken for zero, so that a
    text that stands there twice, or one that two others make up, adds no direction of rounding errors.
    """
    if not len(rows):
        return np.zeros((0, rows.shape[1]))
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(directions[sizes > sizes[0] * max(rows.shape) * EPS], dtype=np.float64)
