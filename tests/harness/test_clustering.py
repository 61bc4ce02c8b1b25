"""Clusters of regions: the number that the silhouette chooses, samples in place of all, and too few regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from spurbench.discovery import clustering
from spurbench.discovery.clustering import cluster, cluster_counts, nearest
from spurbench.errors import MethodError
from spurbench.seeds import Seed

SEED = Seed(("clustering",))


def clumps(sizes: list[int], spread: float, d: int = 12, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Unit vectors (m, d) around as many directions as there are sizes, and the direction of each; shuffled."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = np.eye(d)[of] + spread * rng.normal(size=(len(of), d))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)).float(), of


def exact(x: torch.Tensor, label: torch.Tensor) -> float:
    """scikit-learn's silhouette of all points."""
    dist = np.clip(1 - x.double().numpy() @ x.double().numpy().T, 0, 1)
    np.fill_diagonal(dist, 0)
    return float(silhouette_score(dist, label.numpy(), metric="precomputed"))


def same_partition(label: torch.Tensor, truth: np.ndarray) -> bool:
    of = torch.from_numpy(truth)
    return torch.equal(label[:, None] == label, of[:, None] == of)


def test_counts_are_ravls_and_thinned_out_for_many_classes() -> None:
    assert cluster_counts(2) == [4, 5, 6, 7, 8, 9]
    assert cluster_counts(20) == list(range(40, 100))
    many = cluster_counts(397)
    assert (many[0], len(many)) == (794, 60)
    assert many[-1] < 5 * 397
    assert set(np.diff(many)) == {19, 20}


def test_the_number_of_clumps_is_found_with_all_points_and_with_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    x, truth = clumps([90, 60, 30, 20, 100], 0.08)
    whole = cluster(x, range(2, 10), SEED)
    assert same_partition(whole.label, truth)
    assert truth[whole.medoids].tolist() == truth[whole.medoids[whole.label[whole.medoids]]].tolist()
    assert whole.silhouette == pytest.approx(exact(x, whole.label), abs=1e-5)
    for name, value in {"MOST": 299, "SAMPLE": 80, "_BLOCK": 37}.items():
        monkeypatch.setattr(clustering, name, value)
    sampled = cluster(x.half(), range(2, 10), SEED)
    assert same_partition(sampled.label, truth)
    assert sampled.silhouette == pytest.approx(exact(x, sampled.label), abs=1e-3)
    assert torch.equal(sampled.label, nearest(x.half(), x.half()[sampled.medoids]))


def test_of_all_numbers_the_best_silhouette_is_taken_even_below_zero() -> None:
    x, _ = clumps([40], 1.0, d=3)
    each = [cluster(x, [k], SEED) for k in range(2, 12)]
    best = max(each, key=lambda one: one.silhouette)
    assert torch.equal(cluster(x, range(2, 12), SEED).medoids, best.medoids)
    # Each point is as far from every other: there is nothing to cluster, which is no reason to fail.
    flat = cluster(torch.eye(30), [3, 5], SEED)
    assert flat.silhouette <= 0
    assert len(flat.medoids) == 3


def test_the_estimate_is_exact_where_all_points_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # In three dimensions about half of all cosines are negative.
    x, _ = clumps([100, 80, 30, 1], 0.7, d=4, seed=3)
    centers = x[[5, 77, 150, 200, 203]]
    label = nearest(x, centers)
    assert clustering._Judge(x, SEED).silhouette(centers) == pytest.approx(exact(x, label), abs=1e-5)
    monkeypatch.setattr(clustering, "PARTNERS", 100)
    monkeypatch.setattr(clustering, "LOOKED_AT", 150)
    assert clustering._Judge(x, SEED).silhouette(centers) == pytest.approx(exact(x, label), abs=0.05)


def test_a_cluster_that_the_sample_misses_counts_by_its_medoid() -> None:
    # The one point in the middle is near to most points of both clumps: alone in its cluster, it decides.
    x, of = clumps([300, 300], 0.2, seed=1)
    middle = torch.nn.functional.normalize(x.sum(dim=0, keepdim=True), dim=1)
    centers = torch.cat([x[[int(np.argmax(of == 0)), int(np.argmax(of == 1))]], middle])
    label = nearest(x, centers)
    x, label = x[label < 2], label[label < 2]
    seen = exact(torch.cat([x, middle]), torch.cat([label, torch.tensor([2])]))
    assert clustering._Judge(x, SEED).silhouette(centers) == pytest.approx(seen, abs=2e-3)
    assert exact(x, label) - seen > 0.1
    assert len(x) > 400


def test_nearest_saturates_and_ties_go_to_the_first() -> None:
    centers = torch.tensor([[-1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    points = torch.tensor([[0.6, 0.8], [0.8, -0.6], [1.0, 0.0], [-0.8, 0.6]])
    # The third is orthogonal to two centers and away from the first, which saturates at the same distance.
    assert nearest(points, centers).tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize("most", [1000, 50])
def test_too_few_distinct_points_are_said_and_larger_numbers_left_out(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "MOST", most)
    monkeypatch.setattr(clustering, "SAMPLE", 50)
    x = torch.eye(6).repeat(20, 1)
    with pytest.raises(MethodError, match=r"6 clusters or more .* needs 7 distinct regions; of (50|120) there are 6"):
        cluster(x, range(6, 15), SEED)
    found = cluster(x, range(4, 15), SEED)
    assert len(found.medoids) in (4, 5)
    assert len(torch.unique(x[found.medoids], dim=0)) == len(found.medoids)
    assert found.label.unique().tolist() == list(range(len(found.medoids)))


def test_the_seed_decides() -> None:
    x, _ = clumps([50], 1.0, d=6)
    assert torch.equal(cluster(x, [7], SEED).medoids, cluster(x, [7], SEED).medoids)
    assert not torch.equal(cluster(x, [7], SEED).medoids, cluster(x, [7], Seed(("other",))).medoids)
