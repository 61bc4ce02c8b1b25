"""RaVL's scores against plain loops written from the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench.discovery import Evidence
from spurbench_methods.discovery.ravl_scores import RaVLScores, ravl_scores


def evidence_of(y: list[int], predicted: list[int], image_of: list[int], region_scores: np.ndarray) -> Evidence:
    """Images that are predicted as told; embeddings do not matter here."""
    k = region_scores.shape[1]
    return Evidence(
        y=torch.tensor(y),
        image_embeddings=torch.zeros(len(y), 2),
        image_scores=torch.eye(k)[torch.tensor(predicted)],
        image_of=torch.tensor(image_of, dtype=torch.int64),
        region_embeddings=torch.zeros(len(image_of), 2),
        region_scores=torch.from_numpy(region_scores).float(),
    )


def random_case(n: int, classes: int, clusters: int, seed: int) -> tuple[Evidence, torch.Tensor]:
    """Images of 0 to 3 regions; scores of few values, so that they tie; clusters that may be empty."""
    rng = np.random.default_rng(seed)
    image_of = np.repeat(np.arange(n), rng.integers(0, 4, size=n))
    scores = rng.integers(0, 4, size=(len(image_of), classes)) / 4
    evidence = evidence_of(
        rng.integers(classes, size=n).tolist(), rng.integers(classes, size=n).tolist(), image_of.tolist(), scores
    )
    return evidence, torch.from_numpy(rng.integers(clusters, size=len(image_of)))


def by_hand(
    evidence: Evidence, label: torch.Tensor, clusters: int, weighted: bool, lone: bool
) -> list[tuple[dict[int, float], dict[int, float]]]:
    """For each cluster, G_c^y and H_c^y where they exist."""
    y, predicted = evidence.y.tolist(), evidence.image_scores.argmax(dim=1).tolist()
    regions: dict[int, list[int]] = {i: [] for i in range(len(y))}
    for region, i in enumerate(evidence.image_of.tolist()):
        regions[i].append(region)
    found = []
    for c in range(clusters):
        has = [any(label[r] == c for r in regions[i]) for i in range(len(y))]
        gaps, raw = {}, {}
        for k in range(evidence.n_classes):
            inside = [y[i] == predicted[i] for i in range(len(y)) if y[i] == k and has[i]]
            outside = [y[i] == predicted[i] for i in range(len(y)) if y[i] == k and not has[i]]
            if inside and outside:
                raw[k] = sum(inside) / len(inside) - sum(outside) / len(outside)
                w = 2 * min(len(inside), len(outside)) / (len(inside) + len(outside))
                gaps[k] = (w if weighted else 1) * raw[k]
        blamed: dict[int, list[bool]] = {}
        for i in range(len(y)):
            if predicted[i] == y[i] or not has[i] or raw.get(y[i], 0) >= 0 or (len(regions[i]) == 1 and not lone):
                continue
            scores = [float(evidence.region_scores[r, predicted[i]]) for r in regions[i]]
            most = regions[i][scores.index(max(scores))]
            blamed.setdefault(y[i], []).append(int(label[most]) == c)
        found.append((gaps, {k: sum(values) / len(values) for k, values in blamed.items()}))
    return found


def check(scores: RaVLScores, expected: list[tuple[dict[int, float], dict[int, float]]]) -> None:
    for c, (gaps, influence) in enumerate(expected):
        for k in range(scores.gap.shape[1]):
            assert float(scores.gap[c, k]) == pytest.approx(gaps.get(k, 0.0), abs=1e-12)
            assert bool(scores.gaps.compared[c, k]) == (k in gaps)
            assert float(scores.influence[c, k]) == pytest.approx(influence.get(k, math.nan), nan_ok=True)
        assert float(scores.score[c]) == pytest.approx(sum(abs(gap) for gap in gaps.values()), abs=1e-12)
        assert float(scores.most_influence[c]) == pytest.approx(max(influence.values(), default=-math.inf))


@given(st.integers(1, 40), st.integers(2, 4), st.integers(1, 6), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_scores_are_the_equations(n: int, classes: int, clusters: int, seed: int, weighted: bool, lone: bool) -> None:
    evidence, label = random_case(n, classes, clusters, seed)
    found = ravl_scores(evidence, label, clusters, weighted=weighted, lone=lone)
    check(found, by_hand(evidence, label, clusters, weighted, lone))


@given(st.integers(0, 10**6))
def test_the_order_of_images_and_clusters_does_not_matter(seed: int) -> None:
    evidence, label = random_case(30, 3, 4, seed)
    # No two regions of an image tie: which of them is the first would depend on the order.
    spread = torch.from_numpy(np.random.default_rng(seed).permutation(evidence.region_scores.numel())).float()
    scores = spread.reshape(evidence.region_scores.shape)
    rng = np.random.default_rng(seed + 1)
    image, cluster_of = rng.permutation(30), torch.from_numpy(rng.permutation(4))
    moved = np.argsort(image)[evidence.image_of.numpy()]
    order = np.argsort(moved, kind="stable")

    def build(y: torch.Tensor, scores_of_images: torch.Tensor, of: torch.Tensor, regions: torch.Tensor) -> Evidence:
        return Evidence(y, torch.zeros(30, 2), scores_of_images, of, torch.zeros(len(of), 2), regions)

    one = ravl_scores(build(evidence.y, evidence.image_scores, evidence.image_of, scores), label, 4)
    other = ravl_scores(
        build(evidence.y[image], evidence.image_scores[image], torch.from_numpy(moved[order]), scores[order]),
        cluster_of[label[order]],
        4,
    )
    torch.testing.assert_close(one.gap, other.gap[cluster_of])
    torch.testing.assert_close(one.influence, other.influence[cluster_of], equal_nan=True)


def test_by_hand() -> None:
    # Class 0: images 0, 1 with a region of cluster 0, one of them right; images 2, 3, 4 without, all right; image 4 has
    # no region at all. Class 1: one image, which is in the cluster: nothing to compare it with.
    scores = np.array([[0.3, 0.7], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    evidence = evidence_of([0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 1, 2, 3, 5], scores)
    label = torch.tensor([0, 1, 0, 1, 1, 0])
    found = ravl_scores(evidence, label, 3)
    assert found.gap[0].tolist() == pytest.approx([2 * 2 / 5 * (0.5 - 1.0), 0.0])
    # Image 0 is wrong, and its first region looks most like class 1: the error hangs on cluster 0 and not on 1.
    assert found.most_influence.tolist() == [1.0, 0.0, -math.inf]
    assert found.score[2] == 0
    assert found.gaps.n_out[2].tolist() == [5, 1]


def test_an_image_of_one_region_counts_in_the_paper_and_not_in_the_code() -> None:
    evidence = evidence_of([0, 0], [1, 0], [0, 1], np.array([[0.3, 0.7], [0.6, 0.4]]))
    label = torch.tensor([0, 1])
    assert ravl_scores(evidence, label, 2).most_influence.tolist() == [1.0, -math.inf]
    assert ravl_scores(evidence, label, 2, lone=False).most_influence.tolist() == [-math.inf, -math.inf]
