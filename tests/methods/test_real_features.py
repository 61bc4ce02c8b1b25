"""ERM and DFR on real ImageNet features of Waterbirds, against scikit-learn's own run of the published recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from spurbench.evaluation import evaluate
from spurbench.method import Method
from spurbench.rules import load_rules
from spurbench.tasks import Prepared
from spurbench_datasets.embeddings import Embeddings
from spurbench_methods.dfr import PUBLISHED_GRID, DFRVal
from spurbench_methods.erm import ERM

if TYPE_CHECKING:
    from conftest import ArraySource

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(shared_data: Path, array_source: type[ArraySource]) -> Prepared:
    dataset = Embeddings(str(shared_data / "waterbirds_mobilenet_v1.npz"))
    examples = dataset.load(shared_data)
    assert examples.features is not None
    source = array_source(examples.features.embeddings)
    return Prepared(dataset.card, examples, source, None, ("waterbirds", "mobilenet_v1"), torch.device("cpu"))


def worst_group(method: Method, prepared: Prepared, seed: int) -> float:
    [(result, _)] = evaluate(method, prepared, load_rules("v1"), [seed])
    return float(min(np.array(result.selected["worst_group"].test) / result.test_total))


def published_recipe(prepared: Prepared, seed: int, liblinear: type[LogisticRegression]) -> float:
    """`dfr_evaluate_spurious.py` with scikit-learn: tune C on half of validation, average 20 fits on all of it."""
    examples = prepared.examples
    assert examples.features is not None
    x, y, groups = examples.features.embeddings.astype(np.float64), examples.y, examples.groups
    rng = np.random.default_rng(seed)
    train, val, test = (examples.rows(split) for split in ("train", "val", "test"))

    def balanced(rows: np.ndarray) -> np.ndarray:
        size = np.bincount(groups[rows]).min()
        return np.concatenate([rng.permutation(rows[groups[rows] == g])[:size] for g in range(4)])

    def worst(predicted: np.ndarray, rows: np.ndarray) -> float:
        return min(float((predicted == y[rows])[groups[rows] == g].mean()) for g in range(4))

    shuffled = rng.permutation(val)
    half, other = shuffled[: len(val) // 2], shuffled[len(val) // 2 :]
    subset = balanced(half)
    scaler = StandardScaler().fit(x[subset])
    scores = {}
    for c in PUBLISHED_GRID.values:
        fit = liblinear(C=float(c)).fit(scaler.transform(x[subset]), y[subset])
        scores[c] = worst(fit.predict(scaler.transform(x[other])), other)
    best = max(scores, key=lambda c: scores[c])
    scaler = StandardScaler().fit(x[train])
    inputs = scaler.transform(x)
    fits = []
    for _ in range(20):
        subset = balanced(val)
        fits.append(liblinear(C=float(best)).fit(inputs[subset], y[subset]))
    weight = np.mean([fit.coef_[0] for fit in fits], axis=0)
    bias = np.mean([fit.intercept_[0] for fit in fits])
    return worst((inputs[test] @ weight + bias > 0).astype(int), test)


def test_dfr_val_is_within_three_points_of_the_published_recipe_over_ten_seeds(
    prepared: Prepared, liblinear: type[LogisticRegression]
) -> None:
    ours = np.mean([worst_group(DFRVal(), prepared, seed) for seed in range(10)])
    reference = np.mean([published_recipe(prepared, seed, liblinear) for seed in range(10)])
    assert abs(ours - reference) < 0.03, (ours, reference)


def test_erm_relies_on_the_background_as_much_as_is_known_of_these_features(prepared: Prepared) -> None:
    assert 0.36 <= worst_group(ERM(), prepared, 0) <= 0.46
