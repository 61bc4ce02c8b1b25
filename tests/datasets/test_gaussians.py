from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from spurbench.data import Examples
from spurbench_datasets.gaussians import CORE, CORE_NOISE, SPURIOUS, SPURIOUS_NOISE, WIDTH, Gaussians, group_accuracies

FINGERPRINT = "b6be402ea0938f32941e69fd38a64a28b70c1fb3b2629a745dc163108df3683c"


@pytest.fixture(scope="module")
def examples() -> Examples:
    return Gaussians().load(Path("nowhere"))


def x_of(examples: Examples) -> np.ndarray:
    assert examples.features is not None
    return examples.features.embeddings


def accuracies(examples: Examples, predicted: np.ndarray, split: str) -> np.ndarray:
    rows = examples.rows(split)
    hit = (predicted == examples.y)[rows]
    return np.array([hit[examples.groups[rows] == group].mean() for group in range(4)])


def test_group_counts_are_those_of_waterbirds(examples: Examples) -> None:
    card = Gaussians.card
    assert {split: tuple(examples.group_totals(split)) for split in card.counts} == dict(card.counts)
    assert card.counts["train"] == (3498, 184, 56, 1057)
    assert len(examples) == 11788


def test_features_are_the_same_bytes_everywhere(examples: Examples) -> None:
    state = hashlib.sha256(x_of(examples).astype("<f4").tobytes())
    for column in (examples.y, examples.a, examples.split):
        state.update(column.astype("<i8").tobytes())
    assert state.hexdigest() == FINGERPRINT


def test_features_are_multiples_of_a_power_of_two(examples: Examples) -> None:
    scaled = x_of(examples).astype(np.float64) * 256
    assert np.array_equal(scaled, np.round(scaled))
    assert x_of(examples).dtype == np.float32


def test_loading_leaves_global_randomness_alone() -> None:
    before = np.random.get_state()[1].tolist()
    Gaussians().load(Path())
    assert np.random.get_state()[1].tolist() == before


def test_groups_are_shuffled_within_splits(examples: Examples) -> None:
    groups = examples.groups[examples.rows("train")]
    assert (np.diff(groups) != 0).mean() > 0.3
    assert np.array_equal(examples.split, np.sort(examples.split))


def test_moments_are_the_planted_ones(examples: Examples) -> None:
    x, y, a = x_of(examples).astype(np.float64), examples.y, examples.a
    noise = x - np.outer(2 * y - 1, np.eye(WIDTH)[CORE]) - np.outer(2 * a - 1, np.eye(WIDTH)[SPURIOUS])
    # 64 means and deviations at once: five standard errors leave a false alarm in about 10^5.
    error = 5 / np.sqrt(len(x))
    expected = np.ones(WIDTH)
    expected[:2] = 0.75, 0.875
    assert np.abs(noise.mean(axis=0) / expected).max() < error
    assert np.abs(noise.std(axis=0) / expected - 1).max() < error
    correlation = np.corrcoef(noise.T) - np.eye(WIDTH)
    assert np.abs(correlation).max() < error


@pytest.mark.parametrize(
    ("weight", "bias"),
    [((1.0, 0.0), 0.0), ((1.0, 1.125), 0.0), ((0.5, 1.0), -0.7), ((-1.0, 0.3), 0.2)],
)
def test_closed_form_agrees_with_the_sample(examples: Examples, weight: tuple[float, float], bias: float) -> None:
    w = np.zeros(WIDTH)
    w[:2] = weight
    w[2:] = 0.05
    exact = group_accuracies(w, bias)
    found = accuracies(examples, (x_of(examples) @ w + bias > 0).astype(int), "test")
    error = np.sqrt(exact * (1 - exact) / np.array(Gaussians.card.counts["test"]))
    assert (np.abs(found - exact) < 4 * error).all()


def test_closed_form_of_the_best_rule_is_phi_of_the_core_ratio() -> None:
    from scipy.stats import norm

    weight = np.eye(WIDTH)[CORE]
    assert np.allclose(group_accuracies(weight), norm.cdf(1 / CORE_NOISE), atol=1e-15)
    assert np.allclose(group_accuracies(3 * weight), group_accuracies(weight))
    right, wrong = norm.cdf([1 / SPURIOUS_NOISE, -1 / SPURIOUS_NOISE])
    assert np.allclose(group_accuracies(np.eye(WIDTH)[SPURIOUS]), [right, wrong, wrong, right])


def test_closed_form_refuses_what_is_no_rule() -> None:
    with pytest.raises(ValueError, match="shape"):
        group_accuracies(np.ones(3))
    with pytest.raises(ValueError, match="zeros"):
        group_accuracies(np.zeros(WIDTH))


def test_it_discriminates_between_methods(examples: Examples) -> None:
    x = x_of(examples).astype(np.float64)
    train, val = examples.rows("train"), examples.rows("val")
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    erm = LogisticRegression(C=1.0, max_iter=1000).fit(x[train], examples.y[train])
    groups = examples.groups[val]
    balanced = np.concatenate([val[groups == group][:133] for group in range(4)])
    dfr = LogisticRegression(C=0.1, max_iter=1000).fit(x[balanced], examples.y[balanced])
    assert 0.5 < accuracies(examples, erm.predict(x), "test").min() < 0.7
    assert 0.8 < accuracies(examples, dfr.predict(x), "test").min() < 0.9


def test_its_text_has_the_shortcut(examples: Examples) -> None:
    own = examples.features
    assert own is not None
    assert own.backbone == "planted"
    assert own.class_text is not None
    assert own.attribute_text is not None
    assert own.class_text.shape == own.attribute_text.shape == (2, WIDTH)
    unit = own.class_text / np.linalg.norm(own.class_text, axis=1, keepdims=True)
    found = accuracies(examples, (x_of(examples) @ unit.T).argmax(axis=1), "test")
    assert 0.4 < found.min() < 0.6
    assert found.max() > 0.9
    exact = group_accuracies(own.class_text[1] - own.class_text[0])
    assert np.abs(found - exact).max() < 0.06
    of_attribute = (x_of(examples) @ own.attribute_text.T).argmax(axis=1)
    assert (of_attribute == examples.a).mean() > 0.75
