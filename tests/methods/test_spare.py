"""SPARE: importance weights by hand, the power by the silhouette, clusters where they are plain to see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from spurbench.heads import LinearHead, early_logits, standardised
from spurbench.method import Problem, Task
from spurbench.seeds import Seed
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.inference import spare
from spurbench_methods.inference.spare import Clusters, clusters_within_classes, output_clusters
from spurbench_methods.spare import APART, SPARE, importance

if TYPE_CHECKING:
    from conftest import MakePrepared


def task_of(prepared: Prepared, seed: int = 0) -> Task:
    return make_task(
        SPARE(), prepared, train_view(SPARE(), prepared), prepared.examples.rows("val")[:0], Seed(("spare", seed))
    )


Y = torch.tensor([0, 0, 0, 0, 1, 1])
LABEL = torch.tensor([0, 0, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("silhouette", "first", "second"),
    [
        # Class 0, clusters of 3 and 1: weights 1/3 and 1, so that each cluster has half of the class's mass of 3.
        (APART, 0.5, 1.5),
        # Squared: 1/9 and 1, together 3/9 + 1 = 4/3 for a mass of 3.
        (np.nextafter(APART, 0), 0.25, 2.25),
        (-1.0, 0.25, 2.25),
    ],
)
def test_importance_by_hand(silhouette: float, first: float, second: float) -> None:
    weight = importance(Y, Clusters(LABEL, (silhouette, 0.0)))
    assert weight.tolist() == pytest.approx([first] * 3 + [second] + [1.5, 1.5])


def test_importance_is_the_formula_and_every_class_that_occurs_has_the_same_mass() -> None:
    rng = np.random.default_rng(0)
    y, label = rng.choice([0, 2, 3], size=300, p=[0.7, 0.2, 0.1]), rng.choice(4, size=300, p=[0.6, 0.2, 0.15, 0.05])
    silhouettes = (0.95, 0.0, 0.3, 0.9)
    weight = importance(torch.from_numpy(y), Clusters(torch.from_numpy(label), silhouettes)).double().numpy()
    raw = np.array(
        [
            ((y == k) & (label == j)).sum() ** (-1.0 if silhouettes[k] >= 0.9 else -2.0)
            for k, j in zip(y, label, strict=True)
        ]
    )
    masses = {k: raw[y == k].sum() for k in (0, 2, 3)}
    expected = np.array([value / masses[k] * 300 / 3 for value, k in zip(raw, y, strict=True)])
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert [weight[y == k].sum() for k in (0, 2, 3)] == pytest.approx([100.0] * 3)


def blobs(y: torch.Tensor, counts: tuple[int, ...], spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n, 2) of which class k has `counts[k]` clumps far from each other, and the clumps' numbers (n,)."""
    rng = np.random.default_rng(4)
    clump = np.array([rng.integers(counts[k]) for k in y.tolist()])
    angle = 2 * np.pi * clump / np.array(counts)[y.numpy()]
    centre = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return torch.from_numpy(centre + spread * rng.normal(size=(len(y), 2))), torch.from_numpy(clump)


def same_partition(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one[:, None] == one, other[:, None] == other)


def test_clusters_are_the_obvious_ones_and_the_silhouette_finds_their_number(make_prepared: MakePrepared) -> None:
    task = task_of(make_prepared(train=(40, 30, 30, 40)))
    y = task.train.y
    points, truth = blobs(y, (3, 2), spread=0.1)
    for clusters, sizes in ((0, (3, 2)), (2, (2, 2)), (3, (3, 3))):
        found = clusters_within_classes(task, points, clusters)
        for k, size in enumerate(sizes):
            assert sorted(set(found.label[y == k].tolist())) == list(range(size))
            if size == (3, 2)[k]:
                assert same_partition(found.label[y == k], truth[y == k])
                assert found.silhouette[k] > APART
            else:
                assert found.silhouette[k] < APART, "as many clusters as asked for, but they do not stand apart"


def test_the_silhouettes_are_scikit_learns_on_all_points(make_prepared: MakePrepared) -> None:
    from sklearn.metrics import silhouette_score

    task = task_of(make_prepared())
    y = task.train.y
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(len(y), 3)))
    found = clusters_within_classes(task, points, 2)
    for k in (0, 1):
        members = (y == k).numpy()
        expected = silhouette_score(points.numpy()[members], found.label.numpy()[members])
        assert found.silhouette[k] == pytest.approx(expected)


def test_a_class_of_one_point_over_and_over_has_one_cluster(make_prepared: MakePrepared) -> None:
    task = task_of(make_prepared())
    points = torch.zeros(len(task.train), 2)
    points[task.train.y == 1] = torch.randn(int((task.train.y == 1).sum()), 2)
    for clusters in (0, 4):
        found = clusters_within_classes(task, points, clusters)
        assert found.label[task.train.y == 0].unique().tolist() == [0]
        assert found.silhouette[0] == 0.0
        assert len(found.label[task.train.y == 1].unique()) > 1


def test_a_cluster_that_the_sample_for_the_silhouette_misses_ends_nothing(
    make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One outlier among 60, of which ten are looked at: as one among 70,000 of which a thousand are.
    monkeypatch.setattr(spare, "SILHOUETTE_SAMPLE", 10)
    task = task_of(make_prepared(train=(30, 30, 30, 30)))
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(len(task.train), 2)))
    for k in (0, 1):
        points[torch.nonzero(task.train.y == k)[0, 0]] = 1e4
    for seed in range(5):
        found = clusters_within_classes(task_of(make_prepared(train=(30, 30, 30, 30)), seed), points, 2)
        assert found.label.unique().tolist() == [0, 1]


@pytest.mark.parametrize("epochs", [1, 2])
def test_what_is_clustered_are_softmax_outputs_after_whole_epochs(make_prepared: MakePrepared, epochs: int) -> None:
    task = task_of(make_prepared(train=(130, 40, 30, 70)))
    _, x = standardised(task)
    steps = epochs * 3  # 270 examples make two batches of 128 and a small one
    outputs = torch.softmax(early_logits(task, x, [steps])[steps], dim=1)
    expected, found = clusters_within_classes(task, outputs, 2), output_clusters(task, x, epochs, 2)
    assert torch.equal(expected.label, found.label)
    assert expected.silhouette == found.silhouette
    # Two classes have outputs on a line: k-means cuts it, so that one cluster is all above the other.
    for k in (0, 1):
        inside = outputs[task.train.y == k, 1]
        label = found.label[task.train.y == k]
        low, high = sorted((inside[label == j].min().item(), inside[label == j].max().item()) for j in (0, 1))
        assert low[1] < high[0]


def test_a_fit_is_scikit_learns_regression_with_the_importance(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    tasks = [task_of(prepared, seed) for seed in (0, 1)]
    configs = [{"epochs": 1, "clusters": 2, "C": 0.1}, {"epochs": 2, "clusters": 0, "C": 0.3}]
    problems = [Problem(task, config) for config in configs for task in tasks]
    raw = tasks[0].train.embeddings().double().numpy()
    x = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    for problem, fitted in zip(problems, SPARE().fit_many(problems), strict=True):
        assert isinstance(fitted, list)
        (head,) = fitted
        assert isinstance(head, LinearHead)
        task, config = problem.task, problem.config
        clusters = output_clusters(task, standardised(task)[1], int(config["epochs"]), int(config["clusters"]))
        y, label = task.train.y.numpy(), clusters.label.numpy()
        powers = [1.0 if value >= 0.9 else 2.0 for value in clusters.silhouette]
        weight = np.array([((y == k) & (label == j)).sum() ** -powers[k] for k, j in zip(y, label, strict=True)])
        for k in (0, 1):
            weight[y == k] /= weight[y == k].sum()
        reference = LogisticRegression(C=float(config["C"]), max_iter=10_000, tol=1e-10)
        reference.fit(x, y, weight / weight.mean())
        margin = raw @ np.diff(head.weight.double().numpy(), axis=0)[0] + np.diff(head.bias.double().numpy())[0]
        np.testing.assert_allclose(margin, reference.decision_function(x), atol=2e-3)
        plain = LogisticRegression(C=float(config["C"]), max_iter=10_000).fit(x, y)
        assert np.abs(margin - plain.decision_function(x)).max() > 0.1
