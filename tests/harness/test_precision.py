"""Precision@K against counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.discovery.precision import precision_at, precision_curve


@given(st.integers(0, 12), st.integers(1, 20), st.integers(0, 10**6))
def test_it_counts_the_first_k_and_what_is_missing_is_wrong(regions: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(15) < 0.5
    order = rng.permutation(15)[:regions]
    hits = 0
    for place in range(k):
        if place < len(order) and truth[order[place]]:
            hits += 1
    assert precision_at(torch.from_numpy(order), torch.from_numpy(truth), k) == hits / k
    curve = precision_curve(torch.from_numpy(order), torch.from_numpy(truth), [k, 1])
    assert curve[0] == hits / k
    assert curve[1] == (1.0 if regions and truth[order[0]] else 0.0)


def test_no_regions_is_no_question() -> None:
    with pytest.raises(ValueError, match="first 1 or more regions, not 0"):
        precision_at(torch.tensor([0]), torch.tensor([True]), 0)
    assert precision_curve(torch.tensor([0]), torch.tensor([True]), []) == []
