"""Group inference on toys where the groups are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from spurbench.cards import MethodCard, Supervision
from spurbench.compose import GroupInference
from spurbench.errors import MethodError, SupervisionError
from spurbench.heads import standardised
from spurbench.method import Predictor, Task
from spurbench.seeds import Seed
from spurbench.space import Config, Distribution
from spurbench.tasks import Prepared, make_task, train_view
from spurbench_methods.inference.errors import Errors, misclassified
from spurbench_methods.inference.george import COMPONENTS, George
from spurbench_methods.inference.spare import Spare
from spurbench_methods.inference.zero_shot_attribute import ZeroShotAttribute

if TYPE_CHECKING:
    from conftest import MakePrepared

ALL: list[tuple[GroupInference, Config]] = [
    (Errors(), {"steps": 5}),
    (George(), {"clusters": 2}),
    (Spare(), {"epochs": 1, "clusters": 2}),
    (ZeroShotAttribute(), {}),
]


class Blind:
    """A method that knows no groups, but the attribute's names."""

    card = MethodCard("blind", "", "", supervision=Supervision(attribute_text=True), inputs=("embeddings", "text"))
    space: Mapping[str, Distribution] = MappingProxyType({})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        raise AssertionError("nobody fits here")


def task_of(prepared: Prepared, seed: int = 0, method: Any = None) -> Task:
    method = method or Blind()
    rows = prepared.examples.rows("val")[:0]
    return make_task(method, prepared, train_view(method, prepared), rows, Seed(("inference", seed)))


def toy(make_prepared: MakePrepared, sizes: tuple[int, ...] = (60, 12, 10, 40), apart: float = 12.0) -> Prepared:
    """The attribute moves examples far along four axes, the class a little along another; its names tell which.

    Four, because features are standardised first: an axis of its own would leave the attribute no larger than the rest.
    """
    prepared = make_prepared(train=sizes)
    moved = apart * (torch.from_numpy(prepared.examples.a)[:, None] - 0.5)
    prepared.source.x[:, [1, 3, 4, 5]] += moved  # type: ignore[attr-defined]
    names = torch.zeros(2, 6)
    names[0, 1], names[1, 1] = -1.0, 1.0
    assert prepared.text is not None
    return replace(prepared, text=replace(prepared.text, attribute_vectors=names))


def truth(prepared: Prepared, task: Task) -> tuple[np.ndarray, np.ndarray]:
    rows = task.train._rows
    return prepared.examples.y[rows], prepared.examples.a[rows]


@pytest.mark.parametrize("clusters", [0, 2])
def test_george_finds_attributes_that_stand_apart_within_each_class(make_prepared: MakePrepared, clusters: int) -> None:
    prepared = toy(make_prepared)
    task = task_of(prepared)
    guess = George().infer(task, {"clusters": clusters}).numpy()
    y, a = truth(prepared, task)
    for k in (0, 1):
        assert adjusted_rand_score(a[y == k], guess[y == k]) == 1.0


def test_george_finds_them_among_more_features_than_it_keeps_components(make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(60, 40, 30, 40), d=3 * COMPONENTS)
    # One direction among sixty, on ten axes: as large as the rest together only after it was found.
    shift = torch.zeros(3 * COMPONENTS)
    shift[10:20] = 3.0
    prepared.source.x += torch.from_numpy(prepared.examples.a)[:, None] * shift  # type: ignore[attr-defined]
    task = task_of(prepared)
    guess = George().infer(task, {"clusters": 2}).numpy()
    y, a = truth(prepared, task)
    for k in (0, 1):
        assert adjusted_rand_score(a[y == k], guess[y == k]) > 0.8


def test_spare_parts_those_whom_early_training_took_for_the_other_class(make_prepared: MakePrepared) -> None:
    """Class and attribute mostly agree, so the head learns the attribute, and minorities get the other's outputs."""
    prepared = toy(make_prepared, (90, 10, 10, 90), apart=8.0)
    task = task_of(prepared)
    guess = Spare().infer(task, {"epochs": 2, "clusters": 2}).numpy()
    y, a = truth(prepared, task)
    for k in (0, 1):
        assert adjusted_rand_score(a[y == k], guess[y == k]) > 0.8


def test_errors_are_the_minorities_where_class_and_attribute_mostly_agree(make_prepared: MakePrepared) -> None:
    prepared = toy(make_prepared, (90, 10, 10, 90), apart=8.0)
    task = task_of(prepared)
    guess = Errors().infer(task, {"steps": 5}).numpy()
    y, a = truth(prepared, task)
    assert (guess == (y != a)).mean() > 0.95
    assert guess[y != a].mean() > 0.7
    expected = misclassified(task, standardised(task)[1], [5])[5]
    assert guess.tolist() == expected.long().tolist()


def test_the_zero_shot_attribute_is_the_nearest_name_by_brute_force(make_prepared: MakePrepared) -> None:
    prepared = toy(make_prepared, apart=1.0)
    assert prepared.text is not None
    names = torch.nn.functional.normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    prepared = replace(prepared, text=replace(prepared.text, attribute_vectors=names))
    task = task_of(prepared)
    guess = ZeroShotAttribute().infer(task, {})
    x = task.train.embeddings().double()
    for v, found in zip(x, guess.tolist(), strict=True):
        cosines = [float(v @ name / v.norm()) for name in names.double()]
        assert found == max(range(3), key=lambda j: cosines[j])
    assert guess.unique().tolist() == [0, 1, 2]


def test_the_zero_shot_attribute_needs_the_names(make_prepared: MakePrepared) -> None:
    class NoNames(Blind):
        card = MethodCard("no_names", "", "", inputs=("embeddings", "text"))

    prepared = toy(make_prepared)
    with pytest.raises(SupervisionError, match="attribute_text"):
        ZeroShotAttribute().infer(task_of(prepared, method=NoNames()), {})
    assert prepared.text is not None
    nameless = replace(prepared, text=replace(prepared.text, attribute_vectors=None))
    with pytest.raises(MethodError, match="names none"):
        ZeroShotAttribute().infer(task_of(nameless), {})


@pytest.mark.parametrize(("inference", "config"), ALL, ids=lambda part: getattr(part, "card", None) and part.card.name)
@pytest.mark.parametrize("sizes", [(60, 12, 10, 40), (20, 5, 9, 4, 12, 7), (3, 0, 0, 2)])
def test_a_guess_is_a_whole_number_for_each_example_and_the_seed_alone_decides_it(
    make_prepared: MakePrepared, inference: GroupInference, config: Config, sizes: tuple[int, ...]
) -> None:
    prepared = make_prepared(train=sizes, val=sizes, test=sizes)
    assert prepared.text is not None
    prepared = replace(prepared, text=replace(prepared.text, attribute_vectors=torch.eye(2, 6)))
    guesses = []
    for _ in range(2):
        task = task_of(prepared)
        guesses.append(inference.infer(task, config))
        torch.rand(3)  # global state moves on, and nothing depends on it
        np.random.rand(3)
    guess = guesses[0]
    assert guess.dtype == torch.int64
    assert guess.shape == (sum(sizes),)
    assert guess.device.type == "cpu"
    assert int(guess.min()) >= 0
    assert torch.equal(*guesses)


@pytest.mark.parametrize(("inference", "config"), [ALL[0], ALL[2]], ids=["errors", "spare"])
def test_each_seed_trains_an_early_head_of_its_own(
    make_prepared: MakePrepared, inference: GroupInference, config: Config
) -> None:
    prepared = make_prepared(train=(130, 40, 30, 70))
    one, other = (inference.infer(task_of(prepared, seed), config) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("inference", "config"), [ALL[1], ALL[3]], ids=["george", "zero_shot_attribute"])
def test_the_order_of_examples_does_not_matter(
    make_prepared: MakePrepared, inference: GroupInference, config: Config
) -> None:
    """For who learns from batches it decides which rows a batch holds; these look at all examples together."""
    prepared = toy(make_prepared)
    task = task_of(prepared)
    guess = inference.infer(task, config)
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(task.train)))
    view = train_view(Blind(), prepared)
    view._rows, view._y = view._rows[order.numpy()], view._y[order.numpy()]  # type: ignore[index, misc]
    moved = inference.infer(replace(task, train=view), config)
    y = task.train.y
    for k in (0, 1):
        inside, also = guess[order][y[order] == k], moved[y[order] == k]
        # The same partition; what its parts are called may differ.
        assert adjusted_rand_score(inside.numpy(), also.numpy()) == 1.0


def test_none_of_them_is_given_groups(make_prepared: MakePrepared) -> None:
    task = task_of(make_prepared())
    with pytest.raises(SupervisionError, match="train_groups"):
        _ = task.train.a
    for inference, _ in ALL:
        assert not inference.card.supervision.train_groups
        assert not inference.card.supervision.val_groups
