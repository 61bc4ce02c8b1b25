"""Silhouettes against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from spurbench.discovery.silhouette import silhouette


def found(dist: np.ndarray, label: np.ndarray, k: int) -> float:
    sums = torch.from_numpy(np.stack([dist[:, label == c].sum(axis=1) for c in range(k)]))
    size = torch.from_numpy(np.bincount(label, minlength=k))
    return silhouette(sums, size, torch.from_numpy(label))


@given(st.integers(4, 40), st.integers(2, 6), st.integers(0, 10**6), st.sampled_from([1, 3, 1000]))
def test_it_is_scikit_learns(m: int, k: int, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(0, most + 1, size=(m, m)), 1)
    dist = (upper + upper.T).astype(np.float64)
    label = rng.integers(k, size=m)
    label[:2] = 0, 1
    if len(np.unique(label)) == m:
        label[2:] = 0
    # Clusters without members are none; those of one member count 0.
    compact = np.unique(label, return_inverse=True)[1]
    expected = silhouette_score(dist, compact, metric="precomputed")
    assert found(dist, label, k + 1) == pytest.approx(expected, abs=1e-6)


def test_one_cluster_has_none() -> None:
    assert found(1 - np.eye(5), np.zeros(5, np.int64), 3) == 0.0
