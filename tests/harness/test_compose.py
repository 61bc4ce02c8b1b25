"""`Composed`: a method on groups that somebody else inferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from spurbench import provenance
from spurbench.attribute_text import AttributeText
from spurbench.cards import InferenceCard, MethodCard, Supervision
from spurbench.compose import Composed
from spurbench.errors import ConfigurationError, MethodError, SupervisionError, UnknownNameError, UsageError
from spurbench.evaluation import evaluate
from spurbench.method import BatchedMethod, Fitted, Predictor, Problem, Task
from spurbench.provenance import source_hash
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Choice, Config, Distribution
from spurbench.tasks import Prepared, make_task, split_validation, train_view
from spurbench_methods.group_dro import GroupDRO
from spurbench_methods.inference.errors import Errors
from spurbench_methods.inference.george import George
from spurbench_methods.inference.zero_shot_attribute import ZeroShotAttribute
from spurbench_methods.rwg import RWG, RWY
from spurbench_methods.subg import SUBG

if TYPE_CHECKING:
    from conftest import MakePrepared


def task_of(method: Any, prepared: Prepared, seed: int = 0) -> Task:
    rows, _ = split_validation(method, prepared.examples, prepared.examples.rows("val"), load_rules("quick"), seed)
    return make_task(method, prepared, train_view(method, prepared), rows, Seed(("composed", seed)))


class Spy(BatchedMethod):
    """A base that needs groups, and remembers what it was given."""

    card = MethodCard("spy", "Spy", "a paper", supervision=Supervision(train_groups=True), trains="nothing")
    space: Mapping[str, Distribution] = MappingProxyType({"strength": Choice(1, 2), "parts": Choice(5, 6)})

    def __init__(self) -> None:
        self.calls: list[list[Problem]] = []

    def fit_many(self, problems: Sequence[Problem]) -> Sequence[Fitted]:
        self.calls.append(list(problems))
        return [[place] for place in range(len(problems))]  # type: ignore[list-item]


class Guess:
    """An inference that puts each example in a part by its first feature; it remembers for whom it was asked."""

    card = InferenceCard("guess", "Guess", "another paper")
    space: Mapping[str, Distribution] = MappingProxyType({"parts": Choice(2, 3)})

    def __init__(self) -> None:
        self.asked: list[tuple[Seed, dict[str, Any]]] = []

    def infer(self, task: Task, config: Config) -> torch.Tensor:
        self.asked.append((task.seed, dict(config)))
        order = task.train.embeddings()[:, 0].argsort().argsort()
        return order * int(config["parts"]) // len(order)


def test_the_card_is_what_both_need_without_the_groups_of_training_examples() -> None:
    card = Composed(GroupDRO(), ZeroShotAttribute()).card
    assert card.name == "group_dro+zero_shot_attribute"
    assert card.supervision == Supervision(attribute_text=True)
    assert card.inputs == ("embeddings", "text")
    assert (card.trains, card.track, card.refit) == (GroupDRO.card.trains, "head", False)
    assert "GroupDRO" in card.title
    assert "1911.08731" in card.paper
    plain = Composed(GroupDRO(), George()).card
    assert plain.supervision == Supervision()
    assert plain.inputs == ("embeddings",)
    assert "2011.12945" in plain.paper


def test_what_the_base_needs_of_validation_stays_declared() -> None:
    class Both(Spy):
        card = replace(
            Spy.card, supervision=Supervision(train_groups=True, val_groups=True), inputs=("images",), refit=True
        )

    card = Composed(Both(), Guess()).card
    assert card.supervision == Supervision(val_groups=True)
    assert card.refit
    assert card.inputs == ("images", "embeddings")

    class Labels(Spy):
        card = replace(Spy.card, supervision=Supervision(train_groups=True, val_labels=True))

    assert Composed(Labels(), Guess()).card.supervision == Supervision(val_labels=True)


def test_an_inference_may_ask_for_nothing_of_validation() -> None:
    for word, message in (("val_labels", "training split alone"), ("val_groups", "groups that it is to guess")):
        with pytest.raises(ValueError, match=message):
            InferenceCard("guess", "", "", Supervision(**{word: True}))


def test_the_space_is_both_the_inferences_under_its_name() -> None:
    method = Composed(Spy(), Guess())
    assert dict(method.space) == {"strength": Choice(1, 2), "parts": Choice(5, 6), "guess.parts": Choice(2, 3)}
    assert set(Composed(GroupDRO(), George()).space) == {*GroupDRO.space, "george.clusters"}


def test_a_base_that_takes_no_groups_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'rwy\+errors': rwy takes no groups of training examples"):
        Composed(RWY(), Errors())
    with pytest.raises(UsageError, match="takes no groups"):
        Composed(Composed(RWG(), Errors()), Errors())


def test_each_part_sees_its_own_hyper_parameters_and_everything_comes_back_in_place(
    make_prepared: MakePrepared,
) -> None:
    base, inference = Spy(), Guess()
    method = Composed(base, inference)
    prepared = make_prepared()
    tasks = [task_of(method, prepared, seed) for seed in (0, 1)]
    configs: list[Config] = [
        {"strength": 1, "parts": 5, "guess.parts": 2},
        {"strength": 2, "parts": 6, "guess.parts": 3},
        {"strength": 2, "parts": 5, "guess.parts": 2},
    ]
    problems = [Problem(task, config) for config in configs for task in tasks]
    assert method.fit_many(problems) == [[place] for place in range(6)]
    (given,) = base.calls
    # One guess for each seed and configuration of the inference: four, although there are six problems.
    expected = [(Seed(("composed", seed)), {"parts": parts}) for seed in (0, 1) for parts in (2, 3)]
    assert len(inference.asked) == 4
    assert all(item in inference.asked for item in expected)
    for problem, got in zip(problems, given, strict=True):
        assert dict(got.config) == {name: problem.config[name] for name in ("strength", "parts")}
        parts = int(problem.config["guess.parts"])
        assert got.task.n_attributes == parts
        assert got.task.n_groups == 2 * parts
        assert got.task.seed == problem.task.seed
        guess = got.task.train.a
        x = problem.task.train.embeddings()
        assert torch.equal(got.task.train.embeddings(), x)
        cuts = [x[guess == part, 0] for part in range(parts)]
        assert all(bool(low.max() < high.min()) for low, high in pairwise(cuts))
        assert torch.equal(got.task.train.groups, problem.task.train.y * parts + guess)
    # Problems of one seed and guess share a task, so that the base can fit them together.
    assert given[0].task is given[4].task
    assert given[0].task is not given[2].task


def test_the_base_sees_inferred_groups_and_nobody_sees_the_true_ones(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()
    base = Spy()

    class Peeks(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            for what in ("a", "groups"):
                with pytest.raises(SupervisionError, match="train_groups"):
                    getattr(task.train, what)
            return super().infer(task, config)

    method = Composed(base, Peeks())
    task = task_of(method, prepared)
    method.fit(task, {"strength": 1, "parts": 5, "guess.parts": 2})
    seen = base.calls[0][0].task.train.a
    true = torch.from_numpy(prepared.examples.a[task.train._rows])
    assert 0 < int((seen != true).sum()) < len(true), "the guess is another, or seeing the true one would not show"
    with pytest.raises(SupervisionError):
        _ = task.train.a


def test_an_inference_that_reads_groups_ends_the_fit(make_prepared: MakePrepared) -> None:
    class Cheats(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            return task.train.a

    method = Composed(RWG(), Cheats())
    with pytest.raises(SupervisionError, match="train_groups"):
        evaluate(method, make_prepared(), load_rules("quick"), [0])


def test_an_inference_sees_no_more_than_its_own_card_declares(make_prepared: MakePrepared) -> None:
    class Both(Spy):
        card = replace(Spy.card, supervision=Supervision(train_groups=True, val_groups=True))

    class ReadsValidation(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            with pytest.raises(SupervisionError):
                _ = task.val
            return super().infer(task, config)

    method = Composed(Both(), ReadsValidation())
    method.fit(task_of(method, make_prepared()), {"strength": 1, "parts": 5, "guess.parts": 2})


@pytest.mark.parametrize("text", [False, True])
def test_an_inference_has_the_text_side_only_where_its_own_card_asks_for_it(
    text: bool, make_prepared: MakePrepared
) -> None:
    """What the base was told in words of the attribute is not passed on, the classes' templates are."""
    prepared = make_prepared()
    assert prepared.text is not None

    def prompted(nouns: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(nouns), 4) / 2

    told = AttributeText(names=("land", "water"), settings=("bird on land", "bird on water"))
    side = replace(prepared.text, encode=prompted, prompted=prompted, templates=("a {}",))
    prepared = replace(prepared, card=replace(prepared.card, attribute_text=told), text=side)

    class Told(Spy):
        card = replace(
            Spy.card,
            supervision=Supervision(train_groups=True, attribute_text=True),
            inputs=("embeddings", "text"),
            words=("names", "settings"),
        )

    class Reads(Guess):
        card = replace(Guess.card, inputs=("embeddings", "text") if text else ("embeddings",))

        def infer(self, task: Task, config: Config) -> torch.Tensor:
            space = task.text
            with pytest.raises(SupervisionError):
                space.name_prompts()
            with pytest.raises(SupervisionError):
                space.setting_prompts()
            assert space.attribute_text is None
            if text:
                assert space.class_prompts() == [["a c0"], ["a c1"]]
            else:
                with pytest.raises(MethodError, match="'guess' uses text without declaring it"):
                    space.class_prompts()
                assert (space.encoder, space.prompted, space.templates, space.class_names) == (None, None, (), ())
            return super().infer(task, config)

    base = Told()
    method = Composed(base, Reads())
    method.fit(task_of(method, prepared), {"strength": 1, "parts": 5, "guess.parts": 2})
    assert base.calls[0][0].task.text.name_prompts() == [["a land"], ["a water"]]


def test_a_configuration_that_the_inference_cannot_handle_is_lost_alone(make_prepared: MakePrepared) -> None:
    class Fails(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            if config["parts"] == 3:
                raise ConfigurationError("three are too many")
            return super().infer(task, config)

    method = Composed(RWG(), Fails())
    task = task_of(method, make_prepared())
    kept, lost = method.fit_many([Problem(task, {"C": 1.0, "guess.parts": parts}) for parts in (2, 3)])
    assert isinstance(kept, list)
    assert isinstance(lost, ConfigurationError)


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(120, 1, dtype=torch.int64),
        torch.zeros(120),
        torch.zeros(120, dtype=torch.complex64),
        torch.full((120,), -1),
        np.zeros(120, dtype=np.int64),
        [0] * 120,
        None,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}-{getattr(wrong, 'dtype', '')}-{getattr(wrong, 'shape', '')}",
)
def test_whatever_is_no_guess_is_refused(wrong: Any, make_prepared: MakePrepared) -> None:
    class Wrong(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            return wrong  # type: ignore[no-any-return]

    prepared = make_prepared()
    assert len(prepared.examples.rows("train")) == 120
    method = Composed(RWG(), Wrong())
    with pytest.raises(MethodError, match="'guess' must return whole numbers from 0, one for each of the 120"):
        method.fit(task_of(method, prepared), {"C": 1.0, "guess.parts": 2})


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_whole_numbers_of_any_kind_are_a_guess(dtype: torch.dtype, make_prepared: MakePrepared) -> None:
    class Typed(Guess):
        def infer(self, task: Task, config: Config) -> torch.Tensor:
            return super().infer(task, {"parts": 2}).to(dtype)

    base = Spy()
    method = Composed(base, Typed())
    method.fit(task_of(method, make_prepared()), {"strength": 1, "parts": 5, "guess.parts": 2})
    guess = base.calls[0][0].task.train.a
    assert guess.dtype == torch.int64
    assert torch.bincount(guess).tolist() == [60, 60]


@pytest.mark.parametrize("base", [GroupDRO(), RWG(), SUBG()])
def test_a_composed_fit_is_the_bases_on_a_view_with_those_groups(base: Any, make_prepared: MakePrepared) -> None:
    """For two seeds at once, whose errors differ; against the base alone on groups filled in by hand."""
    prepared = make_prepared()
    method = Composed(base, Errors())
    tasks = [task_of(method, prepared, seed) for seed in (0, 1)]
    own = {name: space.first for name, space in base.space.items()}
    fitted = method.fit_many([Problem(task, {**own, "errors.steps": 5}) for task in tasks])
    weights = []
    for task, snapshots in zip(tasks, fitted, strict=True):
        wrong = Errors().infer(task, {"steps": 5})
        assert 0 < int(wrong.sum()) < len(wrong)
        train = task.train.with_groups(wrong.numpy(), 2)
        expected = base.fit(replace(task, train=train, n_attributes=2), own)
        assert isinstance(snapshots, list)
        assert len(snapshots) == len(expected)
        for mine, reference in zip(snapshots, expected, strict=True):
            torch.testing.assert_close(mine.weight, reference.weight, atol=1e-6, rtol=1e-5)
            torch.testing.assert_close(mine.bias, reference.bias, atol=1e-6, rtol=1e-5)
        weights.append(snapshots[-1].weight)
    assert not torch.equal(weights[0], weights[1])


def test_with_the_true_groups_for_a_guess_it_is_the_method_itself(make_prepared: MakePrepared) -> None:
    prepared = make_prepared()

    class Knows(Guess):
        space: Mapping[str, Distribution] = MappingProxyType({})

        def infer(self, task: Task, config: Config) -> torch.Tensor:
            return torch.from_numpy(prepared.examples.a[task.train._rows])

    method = Composed(RWG(), Knows())
    (mine,) = method.fit(task_of(method, prepared), {"C": 0.1})
    (reference,) = RWG().fit(task_of(RWG(), prepared), {"C": 0.1})
    assert torch.equal(mine.weight, reference.weight)  # type: ignore[attr-defined]


class Plain:
    """A base that fits one problem at a time."""

    card = MethodCard("plain", "", "", supervision=Supervision(train_groups=True))
    space: Mapping[str, Distribution] = MappingProxyType({"lost": Choice(0, 1)})

    def fit(self, task: Task, config: Config) -> Sequence[Predictor]:
        if config["lost"]:
            raise ConfigurationError("lost on purpose")
        return [task.train.groups]  # type: ignore[list-item]


def test_a_base_without_fit_many_is_fitted_problem_by_problem(make_prepared: MakePrepared) -> None:
    method = Composed(Plain(), Guess())
    task = task_of(method, make_prepared())
    (kept, lost) = method.fit_many([Problem(task, {"lost": lost, "guess.parts": 3}) for lost in (0, 1)])
    assert isinstance(kept, list)
    assert kept[0].unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert isinstance(lost, ConfigurationError)


@pytest.mark.parametrize("name", ["group_dro+george", "dfr_train+errors"])
def test_composed_methods_are_evaluated_end_to_end(name: str, make_prepared: MakePrepared) -> None:
    prepared = make_prepared(train=(80, 20, 15, 60))
    prepared.source.x[:, 0] += 1.5 * torch.from_numpy(prepared.examples.y)  # type: ignore[attr-defined]
    method = load_registries().methods.get(name)
    outcomes = evaluate(method, prepared, load_rules("quick"), [0, 1])
    for result, predictions in outcomes:
        assert result.status == "ok"
        # No group of validation is fitted on: all of it is selected on.
        assert result.selection_total == prepared.examples.group_totals("val")
        assert sum(result.selected["average"].test) / sum(result.test_total) > 0.7
        assert len(predictions) == 3
        assert any(key.startswith(f"{name.partition('+')[2]}.") for key in result.configs[0])
    again = evaluate(method, prepared, load_rules("quick"), [1])
    assert again[0][0].selected == outcomes[1][0].selected


def test_the_registry_knows_every_composition_by_name() -> None:
    methods = load_registries().methods
    method = methods.get("group_dro+george")
    assert isinstance(method, Composed)
    assert method.card.name == "group_dro+george"
    assert [type(part) for part in method.composed_of] == [GroupDRO, George]
    assert methods.get("group_dro+george") is method
    assert methods.fresh("group_dro+george") is not method
    assert methods.select(["erm", "group_dro+george"]) == ["erm", "group_dro+george"]
    assert methods.select(["rwg+errors", "erm", "!rwg+errors"]) == ["erm"]
    assert not any("+" in name for name in methods.select(["all"]))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("group_dro+georg", "george"),
        ("group_dor+george", "group_dro"),
        ("group_dro+zero_shot_atribute", "zero_shot_attribute"),
    ],
)
def test_an_unknown_part_is_named_with_what_was_probably_meant(name: str, meant: str) -> None:
    methods = load_registries().methods
    with pytest.raises(UnknownNameError, match=f"did you mean {meant}"):
        methods.get(name)
    with pytest.raises(UnknownNameError, match=f"did you mean {meant}"):
        methods.select([name])


@pytest.mark.parametrize("name", ["erm+george", "group_dro+george+errors", "dfr_val+spare"])
def test_names_that_cannot_be_composed_say_why(name: str) -> None:
    with pytest.raises(UsageError, match="takes no groups of training examples"):
        load_registries().methods.get(name)


@pytest.mark.parametrize("name", ["+george", "group_dro+", "+", "george", "group_dro+erm"])
def test_half_a_name_is_unknown(name: str) -> None:
    with pytest.raises(UnknownNameError):
        load_registries().methods.get(name)


PLUGIN = """
import torch
from spurbench.cards import InferenceCard
class Halves:
    card = InferenceCard("spurtest_halves", "", "")
    space = {}
    def infer(self, task, config):
        return torch.arange(len(task.train)) % 2
"""


def test_an_inference_of_a_plugin_composes_and_counts_as_foreign(tmp_path: Path, make_prepared: MakePrepared) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    methods = load_registries([str(tmp_path / "mine.py")]).methods
    method = methods.get("rwg+spurtest_halves")
    (head,) = method.fit(task_of(method, make_prepared()), {"C": 1.0})
    assert torch.isfinite(head.weight).all()
    assert methods.origin("rwg+spurtest_halves").startswith("plugin")
    assert methods.origin("rwg+george").startswith("package spurbench")


@pytest.mark.parametrize(
    ("module", "counts"),
    [
        ("spurbench_methods.group_dro", True),
        ("spurbench_methods.inference.george", True),
        # What George borrows from its neighbour.
        ("spurbench_methods.inference.spare", True),
        ("spurbench_methods.inference.errors", False),
        ("spurbench_methods.rwg", False),
    ],
)
def test_the_hash_changes_with_either_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, counts: bool
) -> None:
    method = load_registries().methods.get("group_dro+george")
    before = source_hash(method)
    original = provenance._source_file
    path = original(module)
    assert path is not None
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes() + b"# changed\n")
    monkeypatch.setattr(provenance, "_source_file", lambda name: copy if name == module else original(name))
    assert (source_hash(method) != before) == counts


def test_the_hash_tells_compositions_apart() -> None:
    methods = load_registries().methods
    names = ["group_dro+george", "group_dro+errors", "rwg+george", "group_dro", "rwg"]
    assert len({source_hash(methods.get(name)) for name in names}) == len(names)
