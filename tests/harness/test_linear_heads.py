"""Linear heads: many asked at once, standardised features as scikit-learn has them, and balanced groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from spurbench.cards import MethodCard
from spurbench.data import View
from spurbench.errors import MethodError
from spurbench.heads import (
    LANES,
    LinearHead,
    Standardiser,
    UnitLinearHead,
    balanced_subset,
    balancing_weights,
    padded,
    standardised,
)
from spurbench.method import Predictor, Task
from spurbench.seeds import Seed
from spurbench.space import Config, Distribution
from spurbench.tasks import make_task, train_view

if TYPE_CHECKING:
    from conftest import ArraySource, MakePrepared


def shown(x: torch.Tensor, source: type[ArraySource]) -> View:
    """A predictor's view of the features."""
    rows = np.arange(len(x))
    return View("evaluation", rows, source(x.numpy()), method="mine", inputs=("embeddings",), n_attributes=1)


def some_heads(count: int, classes: int, d: int, kind: type[LinearHead] = LinearHead) -> list[LinearHead]:
    generator = torch.Generator().manual_seed(0)
    return [
        kind(torch.randn(classes, d, generator=generator), torch.randn(classes, generator=generator))
        for _ in range(count)
    ]


def features(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1))


def test_logits_are_the_affine_map(array_source: type[ArraySource]) -> None:
    x = features(30, 6)
    for kind in (LinearHead, UnitLinearHead):
        heads = some_heads(4, 3, 6, kind)
        many = kind.logits_many(heads, shown(x, array_source))
        seen = x.double() if kind is LinearHead else x.double() / x.double().norm(dim=1, keepdim=True)
        assert many.shape == (4, 30, 3)
        assert many.dtype == torch.float32
        for head, z in zip(heads, many, strict=True):
            expected = torch.stack([seen @ w.double() + b for w, b in zip(head.weight, head.bias, strict=True)], dim=1)
            torch.testing.assert_close(z.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [LinearHead, UnitLinearHead])
@pytest.mark.parametrize("classes", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("count", [2, 8, 9, 16, 41])
def test_every_heads_logits_are_bit_for_bit_those_it_gives_alone(
    count: int, classes: int, kind: type[LinearHead], array_source: type[ArraySource]
) -> None:
    """Whether the columns fill whole lanes (8 heads of 2 classes) or not, and for a split of a few rows."""
    for n, d in ((1, 17), (2, 64), (3, 6), (100, 5), (37, 130)):
        view = shown(features(n, d), array_source)
        heads = some_heads(count, classes, d, kind)
        many = kind.logits_many(heads, view)
        for i in {0, count // 2, count - 1}:
            assert torch.equal(many[i], heads[i].logits(view)), (n, d, i)


@given(st.integers(1, 40), st.integers(1, 4))
def test_padding_adds_columns_of_zeros_up_to_whole_lanes(columns: int, rows: int) -> None:
    for matrix in (torch.ones(rows, columns), torch.ones(columns, rows).T):
        wide = padded(matrix)
        assert wide.shape[1] % LANES == 0
        assert wide.shape[1] < columns + LANES
        assert torch.equal(wide[:, :columns], matrix)
        assert not wide[:, columns:].any()


def uneven(n: int, d: int) -> torch.Tensor:
    """Features of very different sizes, the last of them constant."""
    x = features(n, d) * torch.logspace(-3, 3, d) + torch.linspace(-50, 50, d)
    x[:, -1] = 12345.678
    return x


def test_standardised_features_are_scikit_learns() -> None:
    x = uneven(200, 6).double()
    ours = Standardiser.fit(x)(x)
    np.testing.assert_allclose(ours.numpy(), StandardScaler().fit_transform(x.numpy()), atol=1e-9)
    assert not ours[:, -1].any(), "what is constant is only shifted"


def test_standardising_keeps_the_precision_and_computes_in_float64() -> None:
    x = uneven(200, 6)
    reference = StandardScaler().fit_transform(x.double().numpy())
    assert Standardiser.fit(x)(x).dtype == torch.float32
    np.testing.assert_allclose(Standardiser.fit(x)(x).numpy(), reference, atol=1e-6)


def test_statistics_are_those_of_the_training_split_whatever_is_standardised() -> None:
    scaler = Standardiser.fit(uneven(200, 6))
    other = uneven(3, 6) + 1
    reference = StandardScaler().fit(uneven(200, 6).double().numpy()).transform(other.double().numpy())
    np.testing.assert_allclose(scaler(other.double()).numpy(), reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 5])
def test_a_folded_head_says_on_raw_features_what_it_said_on_standardised_ones(
    classes: int, array_source: type[ArraySource]
) -> None:
    raw = 3 + 5 * features(40, 6)
    raw[:, 2] = 7.0
    scaler = Standardiser.fit(raw)
    (head,) = some_heads(1, classes, 6)
    expected = scaler(raw.double()) @ head.weight.double().T + head.bias.double()
    folded = scaler.fold(head.weight, head.bias)
    torch.testing.assert_close(folded.logits(shown(raw, array_source)).double(), expected, atol=1e-4, rtol=1e-4)


class Mine:
    """A method of which only the card matters."""

    card = MethodCard("mine", "", "")
    space: Mapping[str, Distribution] = {}

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        raise AssertionError("nothing is fitted here")


def test_a_methods_standardiser_is_that_of_its_training_view(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    view = train_view(Mine(), prepared)
    task = make_task(Mine(), prepared, view, prepared.examples.rows("val")[:0], Seed(("test",)))
    scaler, x = standardised(task)
    assert torch.equal(x, scaler(view.embeddings()))
    np.testing.assert_allclose(x.numpy(), StandardScaler().fit_transform(view.embeddings().double()), atol=1e-6)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 99))
def test_a_balanced_subset_has_as_many_of_each_label_as_the_rarest_has(labels: list[int], seed: int) -> None:
    column = np.array(labels, dtype=np.int64)
    kept = balanced_subset(column, 4, np.random.default_rng(seed))
    smallest = min(labels.count(label) for label in set(labels))
    assert len(set(kept.tolist())) == len(kept)
    assert {label: int((column[kept] == label).sum()) for label in set(labels)} == dict.fromkeys(set(labels), smallest)


def test_a_balanced_subset_is_drawn_anew_by_each_generator_and_favours_nobody() -> None:
    labels = np.repeat([0, 1], [40, 4])
    taken = np.zeros(44)
    for seed in range(500):
        taken[balanced_subset(labels, 2, np.random.default_rng(seed))] += 1
    assert (taken[40:] == 500).all()
    # Each of the 40 is in with probability 0.1: 50 of 500, with a deviation of 6.7.
    assert (np.abs(taken[:40] - 50) < 5 * 6.7).all()
    assert taken[:40].std() > 0


def test_nothing_to_draw_a_subset_from_is_an_error() -> None:
    with pytest.raises(MethodError, match="no examples to draw a balanced subset from"):
        balanced_subset(np.zeros(0, np.int64), 4, np.random.default_rng(0))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_balancing_weights_give_every_label_that_occurs_the_same_mass(labels: list[int]) -> None:
    weights = balancing_weights(torch.tensor(labels)).double()
    assert weights.sum().item() == pytest.approx(len(labels), rel=1e-5)
    for label in set(labels):
        mine = weights[torch.tensor(labels) == label]
        assert len(set(mine.tolist())) == 1
        assert mine.sum().item() == pytest.approx(len(labels) / len(set(labels)), rel=1e-5)
