"""Metrics against brute force, scikit-learn and wilds."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from spurbench import metrics

K, A = 3, 2
ROWS = st.lists(st.tuples(st.integers(0, K - 1), st.integers(0, A - 1), st.integers(0, K - 1)), min_size=1, max_size=60)
Rows = list[tuple[int, int, int]]


def columns(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, a, predicted = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return y, y * A + a, predicted


def counts(rows: Rows) -> tuple[list[int], list[int]]:
    return metrics.group_counts(*columns(rows), K * A)


def brute_force(rows: Rows) -> dict[tuple[int, int], float]:
    accuracies = {}
    for y in range(K):
        for a in range(A):
            hits = [predicted == y for label, value, predicted in rows if (label, value) == (y, a)]
            if hits:
                accuracies[y, a] = sum(hits) / len(hits)
    return accuracies


@given(ROWS)
def test_group_accuracies_equal_brute_force(rows: Rows) -> None:
    expected = brute_force(rows)
    found = metrics.group_accuracies(*counts(rows))
    assert found == [expected.get((y, a)) for y in range(K) for a in range(A)]
    assert metrics.worst_group_accuracy(*counts(rows)) == min(expected.values())


@given(ROWS)
def test_counts_are_plain_ints_and_sum_to_the_examples(rows: Rows) -> None:
    correct, total = counts(rows)
    assert {type(count) for count in [*correct, *total]} == {int}
    assert len(correct) == len(total) == K * A
    assert sum(total) == len(rows)


@given(ROWS)
def test_accuracy_equals_scikit_learn(rows: Rows) -> None:
    y, _, predicted = columns(rows)
    assert metrics.accuracy(*counts(rows)) == pytest.approx(accuracy_score(y, predicted))


@given(ROWS)
def test_worst_class_accuracy_is_the_lowest_recall(rows: Rows) -> None:
    y, _, predicted = columns(rows)
    recalls = recall_score(y, predicted, labels=np.unique(y), average=None, zero_division=0)
    assert metrics.worst_class_accuracy(*counts(rows), A) == pytest.approx(min(recalls))


@given(ROWS)
def test_balanced_accuracy_is_scikit_learns_over_groups(rows: Rows) -> None:
    y, groups, predicted = columns(rows)
    as_groups = np.where(predicted == y, groups, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(groups, as_groups)
    assert metrics.balanced_accuracy(*counts(rows)) == pytest.approx(expected)


@given(ROWS, ROWS)
def test_train_weighted_accuracy_is_accuracy_on_examples_weighted_to_training_shares(test: Rows, train: Rows) -> None:
    y, groups, predicted = columns(test)
    train_total = np.bincount(columns(train)[1], minlength=K * A)
    weights = train_total[groups] / np.bincount(groups, minlength=K * A)[groups]
    found = metrics.train_weighted_accuracy(*counts(test), [int(n) for n in train_total])
    if weights.sum() == 0:
        assert found is None
    else:
        assert found == pytest.approx(accuracy_score(y, predicted, sample_weight=weights))


@given(ROWS)
def test_weighting_by_the_split_itself_gives_its_plain_accuracy(rows: Rows) -> None:
    correct, total = counts(rows)
    assert metrics.train_weighted_accuracy(correct, total, total) == pytest.approx(metrics.accuracy(correct, total))


@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_examples_does_not_matter(both: tuple[Rows, Rows]) -> None:
    assert counts(both[0]) == counts(both[1])


@given(ROWS)
def test_the_averages_lie_between_the_worst_and_the_best_group(rows: Rows) -> None:
    correct, total = counts(rows)
    accuracies = [value for value in metrics.group_accuracies(correct, total) if value is not None]
    worst = metrics.worst_group_accuracy(correct, total)
    for value in (
        metrics.accuracy(correct, total),
        metrics.balanced_accuracy(correct, total),
        metrics.worst_class_accuracy(correct, total, A),
    ):
        assert worst - 1e-12 <= value <= max(accuracies) + 1e-12


def test_columns_of_different_length_are_refused() -> None:
    three, two = np.zeros(3, int), np.zeros(2, int)
    for columns_ in (
        (three, two, three),
        (two, three, three),
        (three, three, two),
        (three[None], three[None], three[None]),
    ):
        with pytest.raises(ValueError, match="must be"):
            metrics.group_counts(*columns_, 4)


def test_groups_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="group"):
        metrics.group_counts(np.array([0]), np.array([7]), np.array([0]), 4)


def test_counts_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        metrics.group_accuracies([1], [1, 1])
    with pytest.raises(ValueError, match="zip"):
        metrics.train_weighted_accuracy([1], [1], [1, 2])


@pytest.fixture
def scatter(monkeypatch: pytest.MonkeyPatch) -> None:
    """wilds' metrics need torch_scatter, which wilds does not install; torch's own scatter stands in for it."""
    if importlib.util.find_spec("torch_scatter") is not None:
        return
    import torch

    def scatter(src: torch.Tensor, index: torch.Tensor, dim_size: int, reduce: str) -> torch.Tensor:
        return torch.zeros(dim_size).scatter_reduce(0, index, src, reduce, include_self=False)

    monkeypatch.setitem(sys.modules, "torch_scatter", types.SimpleNamespace(scatter=scatter))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", ["val", "test"])
def test_waterbirds_numbers_are_those_of_wilds(shared_data: Path, scatter: None, split: str, seed: int) -> None:
    import torch
    from wilds.datasets.waterbirds_dataset import WaterbirdsDataset

    dataset = WaterbirdsDataset(root_dir=str(shared_data), download=False)
    subset = dataset.get_subset(split)
    truth, metadata = subset.y_array, subset.metadata_array
    y, a = truth.numpy(), metadata[:, list(dataset.metadata_fields).index("background")].numpy()
    generator = np.random.default_rng(seed)
    reliability = generator.uniform(0.2, 1.0, size=4)
    predicted = np.where(generator.random(len(y)) < reliability[y * 2 + a], y, 1 - y)
    expected, _ = dataset.eval(torch.from_numpy(predicted), truth, metadata)

    train = dataset.get_subset("train")
    train_groups = train.y_array.numpy() * 2 + train.metadata_array[:, 0].numpy()
    correct, total = metrics.group_counts(y, y * 2 + a, predicted, 4)
    weighted = metrics.train_weighted_accuracy(correct, total, [int(n) for n in np.bincount(train_groups)])
    assert weighted == pytest.approx(float(expected["adj_acc_avg"]), abs=1e-6)
    assert metrics.worst_group_accuracy(correct, total) == pytest.approx(float(expected["acc_wg"]), abs=1e-6)
