"""K-medoids: distances by their formula, the alternation against plain loops and the `kmedoids` package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.discovery import medoids as module
from spurbench.discovery.medoids import MOST, UNIT, alternate, distances, starts
from spurbench.errors import UsageError
from spurbench.seeds import Seed


def units(m: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """(m, d) unit vectors, more alike the larger the shift."""
    x = np.random.default_rng(seed).normal(size=(m, d)) + shift
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float()


def random_distances(m: int, seed: int, most: int = UNIT) -> torch.Tensor:
    """(m, m) int32, symmetric, with a zero diagonal; no triangle inequality."""
    upper = np.triu(np.random.default_rng(seed).integers(0, most + 1, size=(m, m)), 1)
    return torch.from_numpy(upper + upper.T).int()


@pytest.mark.parametrize("block", [7, 64, 1024])
def test_distances_are_the_formula_and_negative_cosines_saturate(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x = units(64, 3, 0)
    found = distances(x).double().numpy() / UNIT
    cosine = x.double().numpy() @ x.double().numpy().T
    expected = np.clip(1 - cosine, 0, 1)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[cosine < 0] == 1).all()
    assert (cosine < 0).sum() > 500
    assert (found == found.T).all()
    assert (np.diag(found) == 0).all()


def test_half_precision_will_do() -> None:
    x = units(30, 8, 1).half()
    assert torch.equal(distances(x), distances(x.float()))


def test_more_points_than_sums_can_hold_are_refused() -> None:
    assert MOST * UNIT < 2**31
    with pytest.raises(UsageError, match="8193 points are too many"):
        distances(torch.zeros(MOST + 1, 1))


def by_hand(dist: list[list[int]], medoids: list[int]) -> tuple[list[int], list[int]]:
    """Medoids and labels of the alternation, as its docstring says it, in plain loops."""
    m, k = len(dist), len(medoids)
    while True:
        label = [min(range(k), key=lambda c: (dist[medoids[c]][i], c)) for i in range(m)]
        found = []
        for c in range(k):
            members = [i for i in range(m) if label[i] == c]
            cost = {i: sum(dist[i][j] for j in members) for i in members}
            now = medoids[c]
            stays = now not in cost or min(cost.values()) == cost[now]
            found.append(now if stays else min(members, key=lambda i: (cost[i], i)))
        if found == medoids:
            return medoids, label
        medoids = found


@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([2, 5, 100, UNIT]))
def test_the_alternation_is_the_one_in_plain_loops(m: int, k: int, seed: int, most: int) -> None:
    # Few different distances make ties, zeros make points that coincide and clusters that lose all members.
    dist = random_distances(m, seed, most)
    start = np.random.default_rng(seed).permutation(m)[: min(k, m)]
    found = alternate(dist, torch.from_numpy(start))
    medoids, label = by_hand(dist.tolist(), start.tolist())
    assert found.medoids.tolist() == medoids
    assert found.label.tolist() == label
    expected = [[sum(row[j] for j in range(m) if label[j] == c) for row in dist.tolist()] for c in range(len(medoids))]
    assert found.sums.tolist() == expected


def test_the_alternation_costs_what_the_kmedoids_package_says() -> None:
    kmedoids = pytest.importorskip("kmedoids")
    for seed in range(5):
        dist = distances(units(300, 6, seed, shift=0.5))
        start = starts(dist, 7, Seed(("start", seed)))
        found = alternate(dist, start)
        theirs = kmedoids.alternating(dist.numpy(), start.numpy().astype(np.uint64))
        assert int(dist[found.medoids][found.label, torch.arange(300)].sum()) == theirs.loss
        assert found.medoids.tolist() == theirs.medoids.astype(np.int64).tolist()
        assert found.label.tolist() == theirs.labels.astype(np.int64).tolist()


def test_starts_fall_into_different_clumps_whatever_their_sizes() -> None:
    clump = np.repeat(np.arange(6), [200, 50, 5, 3, 2, 1])
    x = np.eye(6)[clump] + 0.01 * np.random.default_rng(0).normal(size=(len(clump), 6))
    dist = distances(torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)))
    for seed in range(20):
        assert sorted(clump[starts(dist, 6, Seed(("start", seed))).numpy()]) == [0, 1, 2, 3, 4, 5]


def test_starts_are_drawn_by_squared_distance() -> None:
    # A point at 0, one at 1/4 and one at 1/2 from it: with one trial the second start is drawn 1 : 4. There are three
    # trials for two starts, of which the one that leaves least is kept: as they leave as much, the first drawn.
    quarter, half = UNIT // 4, UNIT // 2
    dist = torch.tensor([[0, quarter, half], [quarter, 0, quarter], [half, quarter, 0]]).int()
    second = [found[1] for found in (starts(dist, 2, Seed(("s", i))).tolist() for i in range(4000)) if found[0] == 0]
    # From point 0: point 1 leaves (1/4)^2 at point 2, point 2 leaves (1/4)^2 at point 1.
    assert 0.2 - 0.04 < np.mean([point == 1 for point in second]) < 0.2 + 0.04
    assert {tuple(sorted(starts(dist, 3, Seed(("t", i))).tolist())) for i in range(20)} == {(0, 1, 2)}


def test_starts_are_distinct_where_points_coincide_and_the_seed_decides() -> None:
    nowhere = torch.zeros(5, 5, dtype=torch.int32)
    assert sorted(starts(nowhere, 4, Seed(("s",))).tolist())[:3] in ([0, 1, 2], [0, 1, 3])
    dist = random_distances(50, 3)
    assert torch.equal(starts(dist, 9, Seed(("a",))), starts(dist, 9, Seed(("a",))))
    assert not torch.equal(starts(dist, 9, Seed(("a",))), starts(dist, 9, Seed(("b",))))
