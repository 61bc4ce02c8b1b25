"""The rules, carried out: who sees what, who is chosen, and what a method that breaks its contract is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spurbench import metrics
from spurbench.cards import MethodCard, Supervision
from spurbench.data import View
from spurbench.errors import ConfigurationError, MethodError, SupervisionError
from spurbench.evaluation import Prepared, evaluate, select, split_validation
from spurbench.method import Task
from spurbench.record import Candidate, array_hash
from spurbench.rules import load_rules
from spurbench.space import Choice, Config

if TYPE_CHECKING:
    from conftest import MakePrepared

RULES = load_rules("v1")


class Constant:
    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = torch.tensor(scores)

    def logits(self, view: View) -> torch.Tensor:
        return self.scores.expand(len(view), -1)


class Probe:
    """A method whose `fit` is given; remembers the tasks it was given."""

    def __init__(
        self,
        fit: Callable[[Task, Config], Any],
        supervision: Supervision | None = None,
        space: Mapping[str, Choice] | None = None,
        refit: bool = False,
    ) -> None:
        self.card = MethodCard(
            name="probe", title="probe", paper="none", supervision=supervision or Supervision(), refit=refit
        )
        self.space = space or {}
        self.tasks: list[Task] = []
        self._fit = fit

    def fit(self, task: Task, config: Config) -> Any:
        self.tasks.append(task)
        return self._fit(task, config)


def one(task: Task, config: Config) -> list[Constant]:
    return [Constant([1.0, 0.0])]


def run(method: Probe, prepared: Prepared, seed: int = 0) -> Any:
    return evaluate(method, prepared, RULES, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (lambda task: task.train.a, "train_groups=True"),
        (lambda task: task.train.groups, "train_groups=True"),
        (lambda task: task.val, "val_groups=True"),
        (lambda task: task.text.attributes(), "attribute_text=True"),
        (lambda task: task.text.classes(), "'text'"),
        (lambda task: task.train.penultimate(), "penultimate"),
        (lambda task: task.train.images(), "images"),
    ],
)
def test_what_is_not_declared_raises_and_the_message_says_what_to_declare(
    read: Callable[[Task], Any], word: str, make_prepared: MakePrepared
) -> None:
    with pytest.raises((SupervisionError, MethodError), match=word):
        run(Probe(lambda task, config: read(task)), make_prepared())


def test_a_predictor_sees_neither_classes_nor_groups(make_prepared: MakePrepared) -> None:
    class Peeking:
        def __init__(self, name: str) -> None:
            self.name = name

        def logits(self, view: View) -> torch.Tensor:
            getattr(view, self.name)
            raise AssertionError("unreachable")

    everything = Supervision(train_groups=True, val_groups=True)
    for name in ("y", "a", "groups"):
        with pytest.raises(SupervisionError, match="predictor"):
            run(Probe(lambda task, config, name=name: [Peeking(name)], everything), make_prepared())


def test_undeclared_labels_are_not_in_the_objects_a_method_gets(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    method = Probe(one)
    run(method, prepared)
    examples, train = prepared.examples, prepared.examples.rows("train")
    shown = method.tasks[0].train._rows
    assert sorted(shown.tolist()) == train.tolist()
    assert np.array_equal(method.tasks[0].train._y, examples.y[shown]), "what is not hidden is found this way"
    hidden = [column[rows] for column in (examples.a, examples.groups) for rows in (train, shown)]
    for slot in View.__slots__:
        held = getattr(method.tasks[0].train, slot)
        if isinstance(held, np.ndarray):
            assert not any(np.array_equal(held, column) for column in hidden)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.zeros(3, 2), r"shape \(130, 2\)|shape \(100, 2\)"),
        (torch.zeros(100), "shape"),
        (torch.zeros(100, 5), r"logits must have shape \(\d+, 2\) \(examples, classes\), not \(100, 5\)"),
        (np.zeros((100, 2)), "torch.Tensor"),
        (None, "torch.Tensor"),
    ],
)
def test_logits_of_the_wrong_kind_or_shape_fail_with_the_shape_wanted(
    returned: Any, message: str, make_prepared: MakePrepared
) -> None:
    class Wrong:
        def logits(self, view: View) -> Any:
            return returned

    with pytest.raises(MethodError, match=message):
        run(Probe(lambda task, config: [Wrong()]), make_prepared())


@pytest.mark.parametrize("returned", [None, [], Constant([0.0, 1.0]), [object()]])
def test_fit_must_return_predictors(returned: Any, make_prepared: MakePrepared) -> None:
    with pytest.raises(MethodError):
        run(Probe(lambda task, config: returned), make_prepared())


def test_a_configuration_that_diverges_is_lost_and_the_others_are_not(make_prepared: MakePrepared) -> None:
    space = {"lr": Choice(1, 2, 3)}

    def fit(task: Task, config: Config) -> list[Constant]:
        return [Constant([float("nan"), 0.0] if config["lr"] == 1 else [0.0, float(config["lr"])])]

    result, _ = run(Probe(fit, space=space), make_prepared())
    by_lr = {candidate.config["lr"]: candidate for candidate in result.candidates}
    assert "NaN" in by_lr[1].error
    assert by_lr[1].selection is None
    assert by_lr[2].error == by_lr[3].error == ""
    assert all(result.candidates[chosen.candidate].config["lr"] != 1 for chosen in result.selected.values())


def test_nothing_but_nan_fails_the_cell(make_prepared: MakePrepared) -> None:
    with pytest.raises(MethodError, match="NaN or infinite"):
        run(Probe(lambda task, config: [Constant([float("nan"), 1.0])]), make_prepared())


@given(st.integers(0, 50))
def test_the_half_that_is_fitted_on_and_the_half_that_is_selected_on_share_no_example(seed: int) -> None:
    rng = np.random.default_rng(seed)

    class Columns:
        groups = rng.integers(4, size=101)

    method = Probe(one, Supervision(val_groups=True))
    validation = np.sort(rng.permutation(101)[:60]).astype(np.int64)
    fit_rows, selection_rows = split_validation(method, Columns(), validation, RULES, seed)  # type: ignore[arg-type]
    assert not set(fit_rows) & set(selection_rows)
    assert sorted([*fit_rows, *selection_rows]) == validation.tolist()
    for group in range(4):
        members = (Columns.groups[validation] == group).sum()
        assert (Columns.groups[fit_rows] == group).sum() == round(members / 2)


def test_methods_that_fit_on_validation_all_get_the_same_half(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    seen = []
    for name in ("one", "two"):
        method = Probe(one, Supervision(val_groups=True))
        method.card = MethodCard(name=name, title="", paper="", supervision=Supervision(val_groups=True))
        run(method, prepared, seed=4)
        seen.append(method.tasks[0].val.embeddings())
    assert torch.equal(*seen)
    method = Probe(one, Supervision(val_groups=True))
    run(method, prepared, seed=5)
    assert not torch.equal(seen[0], method.tasks[0].val.embeddings()), "another seed, another half"


def test_a_refit_gets_all_of_validation_and_only_the_chosen_configuration(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    configs = []

    def fit(task: Task, config: Config) -> list[Constant]:
        configs.append(dict(config))
        return [Constant([0.0, float(config["bias"])])]

    method = Probe(fit, Supervision(val_groups=True), {"bias": Choice(-1, 1)}, refit=True)
    result, _ = run(method, prepared)
    n_val = len(prepared.examples.rows("val"))
    sizes = [len(task.val) for task in method.tasks]
    assert sizes[:2] == [n_val - sum(result.selection_total)] * 2
    assert set(sizes[2:]) == {n_val}
    chosen = [result.candidates[selected.candidate].config for selected in result.selected.values()]
    assert configs[2:]
    assert all(config in chosen for config in configs[2:])


def test_each_rule_chooses_by_its_own_measure_on_validation_only() -> None:
    total = [100, 10, 10, 100]
    counts = {"average": [100, 10, 0, 94], "worst_group": [60, 6, 6, 60], "worst_class": [98, 0, 0, 100]}
    candidates = [
        Candidate(config={"name": name}, snapshot=0, selection=correct, test=[0, 0, 0, 0])
        for name, correct in counts.items()
    ]
    chosen = select(candidates, total, RULES.selection, 2)
    assert {rule: candidates[index].config["name"] for rule, index in chosen.items()} == {
        "average": "average", "worst_group": "worst_group", "worst_class": "worst_class"
    }  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=8), st.randoms())
def test_the_choice_is_the_best_and_does_not_depend_on_the_order(
    counts: list[list[int]], shuffle: random.Random
) -> None:
    total = [9, 9, 9, 9]

    def best(rows: list[list[int]]) -> list[int]:
        candidates = [Candidate(config={}, snapshot=0, selection=row, test=row) for row in rows]
        return rows[select(candidates, total, ["worst_group"], 2)["worst_group"]]

    shuffled = list(counts)
    shuffle.shuffle(shuffled)
    assert min(best(counts)) == min(best(shuffled)) == max(min(row) for row in counts)


def test_among_equals_the_papers_own_configuration_wins() -> None:
    candidates = [Candidate(config={}, snapshot=i, selection=[5, 5], test=[5, 5]) for i in range(3)]
    assert set(select(candidates, [9, 9], RULES.selection, 1).values()) == {0}


def test_counts_in_the_result_are_those_of_the_predictions(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()

    class FirstFeature:
        def logits(self, view: View) -> torch.Tensor:
            x = view.embeddings()[:, 0]
            return torch.stack([1 - x, x], dim=1)

    result, predictions = run(Probe(lambda task, config: [FirstFeature()]), prepared)
    examples = prepared.examples
    assert examples.features is not None
    rows = examples.rows("test")
    x = examples.features.embeddings[rows, 0]
    expected = (x > 1 - x).astype(int)
    np.testing.assert_array_equal(predictions["0.worst_group"], expected)
    correct, total = metrics.group_counts(examples.y[rows], examples.groups[rows], expected, 4)
    assert result.selected["worst_group"].test == correct == result.candidates[0].test
    assert result.test_total == total
    assert result.selected["worst_group"].predictions == array_hash(predictions["0.worst_group"])


def test_global_randomness_is_neither_an_input_nor_an_output(make_prepared: MakePrepared) -> None:
    drawn = []

    def fit(task: Task, config: Config) -> list[Constant]:
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
        return [Constant([0.0, 1.0])]

    prepared = make_prepared()
    for start in (1, 2):
        random.seed(start), np.random.seed(start), torch.manual_seed(start)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        run(Probe(fit), prepared)
        assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    assert drawn[0] == drawn[1]


def test_two_seeds_give_a_method_different_randomness_and_different_tasks(make_prepared: MakePrepared) -> None:
    method = Probe(one)
    prepared = make_prepared()
    for seed in (0, 1):
        run(method, prepared, seed)
    assert method.tasks[0].seed.integer() != method.tasks[1].seed.integer()


def test_changing_what_a_view_returned_does_not_reach_the_next_method(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()

    def vandal(task: Task, config: Config) -> list[Constant]:
        task.train.embeddings().zero_()
        task.train.y.zero_()
        return [Constant([0.0, 1.0])]

    before = Probe(one)
    run(before, prepared)
    run(Probe(vandal), prepared)
    after = Probe(one)
    run(after, prepared)
    assert torch.equal(before.tasks[0].train.embeddings(), after.tasks[0].train.embeddings())
    assert torch.equal(before.tasks[0].train.y, after.tasks[0].train.y)


def test_without_validation_the_papers_configuration_stands_and_snapshots_cannot_be_chosen_among(
    make_prepared: MakePrepared,
) -> None:
    prepared = make_prepared(val=(0, 0, 0, 0))
    result, _ = run(Probe(one, space={"c": Choice(1, 2)}), prepared)
    assert [candidate.config for candidate in result.candidates] == [{"c": 1}]
    assert {selected.candidate for selected in result.selected.values()} == {0}
    with pytest.raises(MethodError, match="no validation split"):
        run(Probe(lambda task, config: one(task, config) * 2), prepared)


def test_predictors_see_rows_in_an_order_that_tells_nothing(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()

    class FirstHalf:
        """Right on a file sorted by class, if rows came in the file's order."""

        def logits(self, view: View) -> torch.Tensor:
            second = torch.arange(len(view)) >= len(view) // 2
            return torch.stack([~second, second], dim=1).float()

    order = np.argsort(prepared.examples.y, kind="stable")
    examples = prepared.examples
    assert examples.features is not None
    moved = type(examples)(
        [examples.ids[i] for i in order], examples.y[order], examples.a[order], examples.split[order], 2, 2,
        features=examples.features,
    )  # fmt: skip
    result, _ = run(Probe(lambda task, config: [FirstHalf()]), replace(prepared, examples=moved))
    right = sum(result.selected["average"].test) / sum(result.test_total)
    assert 0.35 < right < 0.65


def test_a_fit_that_does_not_converge_is_lost_like_one_that_diverges(make_prepared: MakePrepared) -> None:
    def fit(task: Task, config: Config) -> list[Constant]:
        if config["c"] == 2:
            raise ConfigurationError("did not converge")
        return [Constant([0.0, 1.0])]

    result, _ = run(Probe(fit, space={"c": Choice(1, 2)}), make_prepared())
    assert sorted(candidate.error for candidate in result.candidates) == ["", "did not converge"]


def test_a_refit_with_fewer_snapshots_is_an_error_that_says_so(make_prepared: MakePrepared) -> None:
    calls = []

    def fit(task: Task, config: Config) -> list[Constant]:
        calls.append(config)
        return [Constant([float("nan"), 0.0]), Constant([0.0, 1.0])][: 3 - len(calls)]

    with pytest.raises(MethodError, match="the refit returned 1 snapshots, and number 1 was chosen"):
        run(Probe(fit, Supervision(val_groups=True), refit=True), make_prepared())
