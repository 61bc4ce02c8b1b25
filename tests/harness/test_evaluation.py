"""The rules, carried out: who sees what, who is chosen, and what a method that breaks its contract is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
from spurbench.evaluation import evaluate, select
from spurbench.executors.inline import InlineExecutor
from spurbench.files import HashCache, digest
from spurbench.jobs import Event, Finished, Job, Started
from spurbench.keys import key_parts, load_data
from spurbench.method import BatchedMethod, Problem, Task, bundles, in_place
from spurbench.record import Candidate, SeedResult, array_hash
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Choice, Config, Distribution
from spurbench.tasks import Prepared, split_validation

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
        space: Mapping[str, Distribution] | None = None,
        refit: bool = False,
    ) -> None:
        self.card = MethodCard(
            name="probe", title="probe", paper="none", supervision=supervision or Supervision(), refit=refit
        )
        self.space: Mapping[str, Distribution] = space or {}
        self.tasks: list[Task] = []
        self._fit = fit

    def fit(self, task: Task, config: Config) -> Any:
        self.tasks.append(task)
        return self._fit(task, config)


class Batched(BatchedMethod):
    """A method whose `fit_many` is given; remembers the problems of each call."""

    def __init__(
        self,
        fit_many: Callable[[Sequence[Problem]], Any],
        supervision: Supervision | None = None,
        space: Mapping[str, Distribution] | None = None,
        refit: bool = False,
    ) -> None:
        self.card = MethodCard("batched", "batched", "none", supervision or Supervision(), refit=refit)
        self.space: Mapping[str, Distribution] = space or {}
        self.calls: list[list[Problem]] = []
        self._fit_many = fit_many

    def fit_many(self, problems: Sequence[Problem]) -> Any:
        self.calls.append(list(problems))
        return self._fit_many(problems)


def one(task: Task, config: Config) -> list[Constant]:
    return [Constant([1.0, 0.0])]


def run(method: Probe | Batched, prepared: Prepared, seed: int = 0) -> Any:
    [outcome] = evaluate(method, prepared, RULES, [seed])
    return outcome


def config_of(result: SeedResult, candidate: Candidate) -> Config:
    """The configuration that a candidate was fitted under."""
    return result.configs[candidate.config]


@pytest.mark.parametrize(
    ("read", "word"),
    [
        (lambda task: task.train.a, "train_groups=True"),
        (lambda task: task.train.groups, "train_groups=True"),
        (lambda task: task.val, "val_labels=True.*or val_groups=True"),
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

    everything = Supervision(train_groups=True, val_groups=True, val_labels=True)
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
    by_lr: dict[Any, Candidate] = {config_of(result, candidate)["lr"]: candidate for candidate in result.candidates}
    assert "NaN" in by_lr[1].error
    assert by_lr[1].selection is None
    assert by_lr[2].error == by_lr[3].error == ""
    chosen = [result.candidates[selected.candidate] for selected in result.selected.values()]
    assert all(config_of(result, candidate)["lr"] != 1 for candidate in chosen)


def test_nothing_but_nan_fails_the_cell(make_prepared: MakePrepared) -> None:
    with pytest.raises(MethodError, match="NaN or infinite"):
        run(Probe(lambda task, config: [Constant([float("nan"), 1.0])]), make_prepared())


@given(st.integers(0, 50), st.sampled_from([Supervision(val_groups=True), Supervision(val_labels=True)]))
def test_the_half_that_is_fitted_on_and_the_half_that_is_selected_on_share_no_example(
    seed: int, supervision: Supervision
) -> None:
    rng = np.random.default_rng(seed)

    class Columns:
        groups = rng.integers(4, size=101)

    method = Probe(one, supervision)
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
    groups, labels = Supervision(val_groups=True), Supervision(val_labels=True)
    for name, supervision in (("one", groups), ("two", groups), ("three", labels)):
        method = Probe(one, supervision)
        method.card = MethodCard(name=name, title="", paper="", supervision=supervision)
        run(method, prepared, seed=4)
        seen.append(method.tasks[0].val.embeddings())
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2]), "told the groups or not"
    method = Probe(one, Supervision(val_groups=True))
    run(method, prepared, seed=5)
    assert not torch.equal(seen[0], method.tasks[0].val.embeddings()), "another seed, another half"


def test_labels_of_validation_come_without_its_groups(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    method = Probe(one, Supervision(val_labels=True))
    result, _ = run(method, prepared)
    val, examples = method.tasks[0].val, prepared.examples
    assert np.array_equal(val.y.numpy(), examples.y[val._rows])
    for name in ("a", "groups"):
        with pytest.raises(SupervisionError, match=rf"val\.{name} .*Supervision\(val_labels=True, val_groups=True\)"):
            getattr(val, name)
    assert sum(result.selection_total) + len(val) == len(examples.rows("val"))


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
    chosen = [config_of(result, result.candidates[selected.candidate]) for selected in result.selected.values()]
    assert configs[2:]
    assert all(config in chosen for config in configs[2:])


def test_each_rule_chooses_by_its_own_measure_on_validation_only() -> None:
    total = [100, 10, 10, 100]
    counts = {"average": [100, 10, 0, 94], "worst_group": [60, 6, 6, 60], "worst_class": [98, 0, 0, 100]}
    candidates = [
        Candidate(config=index, snapshot=0, selection=correct, test=[0, 0, 0, 0])
        for index, correct in enumerate(counts.values())
    ]
    chosen = select(candidates, total, RULES.selection, 2)
    assert {rule: list(counts)[candidates[index].config] for rule, index in chosen.items()} == {
        "average": "average", "worst_group": "worst_group", "worst_class": "worst_class"
    }  # fmt: skip


@given(st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=8), st.randoms())
def test_the_choice_is_the_best_and_does_not_depend_on_the_order(
    counts: list[list[int]], shuffle: random.Random
) -> None:
    total = [9, 9, 9, 9]

    def best(rows: list[list[int]]) -> list[int]:
        candidates = [Candidate(config=i, snapshot=0, selection=row, test=row) for i, row in enumerate(rows)]
        return rows[select(candidates, total, ["worst_group"], 2)["worst_group"]]

    shuffled = list(counts)
    shuffle.shuffle(shuffled)
    assert min(best(counts)) == min(best(shuffled)) == max(min(row) for row in counts)


def test_among_equals_the_papers_own_configuration_wins() -> None:
    candidates = [Candidate(config=0, snapshot=i, selection=[5, 5], test=[5, 5]) for i in range(3)]
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
    assert [config_of(result, candidate) for candidate in result.candidates] == [{"c": 1}]
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


class Noisy:
    """A head drawn from its task's seed and its configuration, with snapshots that differ."""

    def __init__(self, task: Task, config: Config, snapshot: int) -> None:
        d = task.train.embeddings().shape[1]
        seed = task.seed.derive("head", str(config["c"]), snapshot)
        self.weight = torch.randn(d, task.n_classes, generator=seed.torch())

    def logits(self, view: View) -> torch.Tensor:
        return view.embeddings() @ self.weight


class NoisyTogether(Noisy):
    """The same, many asked at once."""

    @staticmethod
    def logits_many(predictors: Sequence[Noisy], view: View) -> torch.Tensor:
        return torch.stack([predictor.logits(view) for predictor in predictors])


SPACE: Mapping[str, Distribution] = {"c": Choice(*range(1, 41))}
BUDGET = RULES.tracks["head"].configurations


def noisy(task: Task, config: Config, kind: type[Noisy] = Noisy) -> list[Noisy]:
    return [kind(task, config, snapshot) for snapshot in range(2)]


def many_noisy(problems: Sequence[Problem]) -> list[list[Noisy]]:
    return [noisy(problem.task, problem.config, NoisyTogether) for problem in problems]


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("kind", [Probe, Batched])
def test_several_seeds_at_once_equal_each_alone(
    kind: type[Probe] | type[Batched], refit: bool, make_prepared: MakePrepared
) -> None:
    prepared, supervision = make_prepared(), Supervision(val_groups=refit)
    fit: Any = noisy if kind is Probe else many_noisy

    def outcomes(seeds: Sequence[int]) -> list[Any]:
        return list(evaluate(kind(fit, supervision, SPACE, refit=refit), prepared, RULES, seeds))

    together = outcomes([0, 1, 5])
    assert [result.seed for result, _ in together] == [0, 1, 5]
    for seed, (result, predictions) in zip([0, 1, 5], together, strict=True):
        [(alone, predictions_alone)] = outcomes([seed])
        assert result == alone
        assert predictions.keys() == predictions_alone.keys() == {f"{seed}.{rule}" for rule in RULES.selection}
        for name, array in predictions.items():
            np.testing.assert_array_equal(array, predictions_alone[name])
    assert len({str(result.candidates) for result, _ in together}) == 3, "seeds differ"


def test_a_method_that_fits_many_gets_all_problems_in_one_call(make_prepared: MakePrepared) -> None:
    method = Batched(many_noisy, space=SPACE)
    results = [result for result, _ in evaluate(method, make_prepared(), RULES, [3, 4])]
    [problems] = method.calls
    assert [dict(problem.config) for problem in problems] == [config for r in results for config in r.configs]
    tasks = list({id(problem.task): problem.task for problem in problems}.values())
    assert len(problems) == 2 * BUDGET
    assert len(tasks) == 2, "one task for all configurations of a seed"
    assert tasks[0].train is tasks[1].train, "training examples do not depend on the seed"
    assert tasks[0].seed != tasks[1].seed


@pytest.mark.parametrize("supervision", [Supervision(val_groups=True), Supervision(val_labels=True)], ids=str)
def test_who_is_given_validation_gets_one_seed_at_a_time(supervision: Supervision, make_prepared: MakePrepared) -> None:
    """One seed's half of validation holds the examples that another is selected on."""
    method = Batched(many_noisy, supervision, SPACE)
    evaluate(method, make_prepared(), RULES, [3, 4])
    first, second = ({id(problem.task): problem.task for problem in call} for call in method.calls)
    assert len(first) == len(second) == 1
    halves = [next(iter(tasks.values())).val.embeddings() for tasks in (first, second)]
    assert not torch.equal(*halves)


def test_a_method_that_fits_one_by_one_gives_what_it_gives_in_a_batch(make_prepared: MakePrepared) -> None:
    alone, batched = Probe(noisy, space=SPACE), Batched(many_noisy, space=SPACE)
    alone.card = batched.card
    prepared = make_prepared()
    one, other = (evaluate(method, prepared, RULES, [0, 1]) for method in (alone, batched))
    assert [result for result, _ in one] == [result for result, _ in other]


@pytest.mark.parametrize("change", [lambda fitted: fitted[:-1], lambda fitted: [*fitted, fitted[0]], lambda _: []])
def test_fit_many_must_answer_for_every_problem(
    change: Callable[[list[Any]], list[Any]], make_prepared: MakePrepared
) -> None:
    method = Batched(lambda problems: change(many_noisy(problems)), space=SPACE)
    with pytest.raises(MethodError, match=rf"fit_many returned \d+ results for {2 * BUDGET} problems"):
        evaluate(method, make_prepared(), RULES, [0, 1])


@pytest.mark.parametrize("returned", [None, [], Constant([0.0, 1.0]), [object()]])
def test_fit_many_must_return_predictors_for_each(returned: Any, make_prepared: MakePrepared) -> None:
    method = Batched(lambda problems: [*many_noisy(problems)[:-1], returned], space=SPACE)
    with pytest.raises(MethodError):
        run(method, make_prepared())


def test_a_lost_problem_in_a_batch_is_lost_alone(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()

    def one_lost(problems: Sequence[Problem]) -> list[Any]:
        fitted: list[Any] = many_noisy(problems)
        fitted[3] = ConfigurationError("did not converge")
        return fitted

    lost, whole = (
        [result for result, _ in evaluate(Batched(fit, space=SPACE), prepared, RULES, [0, 1])]
        for fit in (one_lost, many_noisy)
    )
    assert lost[1] == whole[1]
    by_place = [(candidate.config, candidate.snapshot) for candidate in lost[0].candidates]
    everything = [(config, snapshot) for config in range(BUDGET) for snapshot in range(2)]
    assert by_place == [place for place in everything if place != (3, 1)]
    for candidate in lost[0].candidates:
        if candidate.config == 3:
            assert (candidate.selection, candidate.test, candidate.error) == (None, None, "did not converge")
        else:
            assert candidate in whole[0].candidates


def test_a_batch_of_one_raises_what_it_lost(make_prepared: MakePrepared) -> None:
    method = Batched(lambda problems: [ConfigurationError("lost")] * len(problems))
    spare = Probe(one)
    run(spare, make_prepared())
    with pytest.raises(ConfigurationError, match="lost"):
        method.fit(spare.tasks[0], {})
    assert [len(problems) for problems in method.calls] == [1]


def test_a_refit_fits_what_each_seed_chose(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    method = Batched(many_noisy, Supervision(val_groups=True), SPACE, refit=True)
    results = [result for result, _ in evaluate(method, prepared, RULES, [0, 1, 2])]
    fits, refits = ([problem for call in calls for problem in call] for calls in (method.calls[:3], method.calls[3:]))
    assert len(fits) == 3 * BUDGET
    chosen = [
        result.configs[result.candidates[index].config]
        for result in results
        for index in sorted({selected.candidate for selected in result.selected.values()})
    ]
    assert [dict(problem.config) for problem in refits] == chosen
    assert {len(problem.task.val) for problem in refits} == {len(prepared.examples.rows("val"))}
    assert len({id(problem.task) for problem in refits}) == 3
    assert {problem.task.seed for problem in refits}.isdisjoint(problem.task.seed for problem in fits)


def test_what_a_refit_predicts_is_that_of_the_snapshot_chosen(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    method = Batched(many_noisy, Supervision(val_groups=True), SPACE, refit=True)
    rows = prepared.examples.rows("test")
    for result, predictions in evaluate(method, prepared, RULES, [0, 1]):
        for rule, selected in result.selected.items():
            candidate = result.candidates[selected.candidate]
            problem = next(
                problem
                for call in method.calls
                for problem in call
                if problem.task.seed.path[-2:] == (result.seed, "refit")
                and dict(problem.config) == result.configs[candidate.config]
            )
            weight = Noisy(problem.task, problem.config, candidate.snapshot).weight
            features = prepared.source.features("embeddings", rows)
            expected = (features @ weight).argmax(dim=1).numpy()
            np.testing.assert_array_equal(predictions[f"{result.seed}.{rule}"], expected)


class Fixed(Constant):
    """Predictors whose `logits_many` gives what is prepared in a class attribute."""

    change: Callable[[torch.Tensor], Any]

    @staticmethod
    def logits_many(predictors: Sequence[Fixed], view: View) -> Any:
        return type(predictors[0]).change(torch.stack([predictor.logits(view) for predictor in predictors]))


def fixed(changed: Callable[[torch.Tensor], Any]) -> Batched:
    class Mine(Fixed):
        change = staticmethod(changed)

    return Batched(lambda problems: [[Mine([0.0, float(p.config["c"])])] for p in problems], space=SPACE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda z: z[:-1], f"logits_many returned {BUDGET - 1} results for {BUDGET} predictors"),
        (lambda z: torch.cat([z, z]), f"logits_many returned {2 * BUDGET} results for {BUDGET} predictors"),
        (lambda z: z[:, :-1], r"logits must have shape \(\d+, 2\)"),
        (lambda z: torch.cat([z, z], dim=2), r"not \(\d+, 4\)"),
        (lambda z: z.transpose(1, 2), "logits must have shape"),
        (lambda z: [*z[:-1], z[-1].numpy()], "logits must be a torch.Tensor"),
        (lambda z: [*z[:-1], None], "logits must be a torch.Tensor"),
        (lambda z: [*z[:-1], z[-1, :, :1]], "logits must have shape"),
        (lambda z: None, "logits_many"),
        (lambda z: iter(z), "logits_many"),
    ],
)
def test_logits_of_many_of_the_wrong_number_kind_or_shape_fail_and_say_so(
    changed: Callable[[torch.Tensor], Any], message: str, make_prepared: MakePrepared
) -> None:
    with pytest.raises(MethodError, match=message):
        run(fixed(changed), make_prepared())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_of_many_the_one_with_useless_logits_is_lost_alone(wrong: float, make_prepared: MakePrepared) -> None:
    def third_spoilt(z: torch.Tensor) -> torch.Tensor:
        z[2, 1, 0] = wrong
        return z

    prepared = make_prepared()
    (result, _), (whole, _) = run(fixed(third_spoilt), prepared), run(fixed(lambda z: z), prepared)
    assert "NaN or infinite for 1 of 100 examples" in result.candidates[2].error
    assert (result.candidates[2].selection, result.candidates[2].test) == (None, None)
    assert 2 not in {selected.candidate for selected in result.selected.values()}
    rest = [i for i in range(BUDGET) if i != 2]
    assert [result.candidates[i] for i in rest] == [whole.candidates[i] for i in rest]


def test_predictors_of_several_classes_are_asked_class_by_class_and_keep_their_order(
    make_prepared: MakePrepared,
) -> None:
    prepared = make_prepared()

    def mixed(problems: Sequence[Problem]) -> list[list[Noisy]]:
        return [[NoisyTogether(p.task, p.config, 0), Noisy(p.task, p.config, 1)] for p in problems]

    (one, _), (other, _) = run(Batched(mixed, space=SPACE), prepared), run(Batched(many_noisy, space=SPACE), prepared)
    assert one == other


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=12))
def test_bundles_take_a_batch_apart_task_by_task_and_in_place_puts_it_together(drawn: list[tuple[int, int]]) -> None:
    tasks = [Task("mine", None, 2, 2, None, None, Seed((i,)), torch.device("cpu")) for i in range(4)]  # type: ignore[arg-type]
    problems = [Problem(tasks[number], {"c": c}) for number, c in drawn]
    parts = bundles(problems)
    assert [part.task for part in parts] == [tasks[number] for number in dict.fromkeys(number for number, _ in drawn)]
    for part in parts:
        assert part.column("c").tolist() == [c for number, c in drawn if tasks[number] is part.task]
    results: list[list[Any]] = [[(part.task, config) for config in part.configs] for part in parts]
    together: list[Any] = list(in_place(parts, results))
    assert together == [(problem.task, problem.config) for problem in problems]


PLUGIN = """
import numpy as np, torch
from spurbench.cards import DatasetCard, MethodCard
from spurbench.data import Examples, OwnFeatures
from spurbench.method import BatchedMethod

class Data:
    card = DatasetCard("spurtest_toy", "", ("a", "b"), ("x", "y"), "MIT", own_features=True)
    def prepare(self, root, *, download): pass
    def load(self, root):
        draw = np.random.default_rng(0)
        y, a, split = draw.integers(0, 2, 60), draw.integers(0, 2, 60), np.repeat(np.arange(3), 20)
        features = OwnFeatures("toy", draw.random((60, 2), dtype=np.float32))
        return Examples([str(i) for i in range(60)], y, a, split, 2, 2, features=features)

class Head:
    def __init__(self, weight):
        self.weight = weight
    def logits(self, view):
        return view.embeddings() @ self.weight

class Whole(BatchedMethod):
    card = MethodCard("spurtest_whole", "", "")
    space = {}
    def fit_many(self, problems):
        return [[Head(torch.randn(2, 2, generator=p.task.seed.torch()))] for p in problems]

class Brittle(Whole):
    card = MethodCard("spurtest_brittle", "", "")
    def fit_many(self, problems):
        if any(p.task.seed.path[-2] == 1 for p in problems):
            raise ValueError("seed one spoils it")
        return super().fit_many(problems)

class Single:
    card = MethodCard("spurtest_single", "", "")
    space = {}
    def fit(self, task, config):
        return [Head(torch.randn(2, 2, generator=task.seed.torch()))]
"""


def events_of(folder: Path, method: str, seeds: tuple[int, ...]) -> list[Event]:
    """What an InlineExecutor tells of a job for a method of the plugin."""
    (folder / "mine.py").write_text(PLUGIN)
    registries, rules = load_registries([str(folder / "mine.py")]), load_rules("quick")
    data = load_data(registries, "spurtest_toy", folder, HashCache(None), download=False)
    job = Job(
        key=digest(key_parts(registries.methods.get(method), data, None, rules)),
        dataset="spurtest_toy",
        backbone="own features",
        method=method,
        seeds=seeds,
        rules=rules,
        data_root=folder,
        cache=folder,
        device="cpu",
        precision="fp32",
        memory_limit=2**30,
        isolated=False,
    )
    events: list[Event] = []
    InlineExecutor(registries).run(job, events.append)
    return events


def told(events: Sequence[Event]) -> list[tuple[int, ...] | int]:
    """The seeds that were started, as tuples, and those that were finished."""
    return [
        event.seeds if isinstance(event, Started) else event.result.seed
        for event in events
        if isinstance(event, (Started, Finished))
    ]


def test_an_executor_computes_all_seeds_of_a_batched_method_at_once(tmp_path: Path) -> None:
    assert told(events_of(tmp_path, "spurtest_whole", (0, 1, 2))) == [(0, 1, 2), 0, 1, 2]
    assert told(events_of(tmp_path, "spurtest_single", (0, 1))) == [(0,), 0, (1,), 1]


def test_one_seed_that_spoils_the_batch_fails_alone(tmp_path: Path) -> None:
    events = events_of(tmp_path, "spurtest_brittle", (0, 1, 2))
    assert told(events) == [(0, 1, 2), (0,), 0, (1,), 1, (2,), 2]
    finished = {event.result.seed: event for event in events if isinstance(event, Finished)}
    failure = finished[1].result.failure
    assert failure is not None
    assert "ValueError: seed one spoils it" in failure.message
    assert finished[1].predictions == {}
    for seed in (0, 2):
        assert finished[seed].result.status == "ok"
        assert finished[seed].predictions.keys() == {f"{seed}.{rule}" for rule in RULES.selection}


def test_seeds_computed_at_once_share_the_time_they_took(tmp_path: Path) -> None:
    events = events_of(tmp_path, "spurtest_whole", (0, 1, 2))
    seconds = [event.seconds for event in events if isinstance(event, Finished)]
    assert len(set(seconds)) == 1
    assert seconds[0] > 0
