"""Every registered method that fits many problems at once: what one of them gives does not depend on the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from spurbench.errors import ConfigurationError
from spurbench.evaluation import evaluate
from spurbench.judge import Judge, Judged
from spurbench.method import Problem, Task, fits_many
from spurbench.registry import load_registries
from spurbench.rules import load_rules
from spurbench.seeds import Seed
from spurbench.space import Config, LogUniform, draw_configs
from spurbench.tasks import Prepared, make_task, split_validation, train_view, view_of

if TYPE_CHECKING:
    from conftest import MakePrepared

REGISTRY = load_registries().methods
ABSURD = 3e38
"""A learning rate near the largest float32: gradients that are clipped, as AFR's are, survive a smaller one."""
AVAILABLE = {"embeddings", "penultimate", "text"}


def names() -> list[str]:
    """Registered methods that the toy has inputs for; two that are composed, for that way of fitting many."""
    plain = [name for name in REGISTRY.names() if not REGISTRY.needs_argument(name)]
    fitting = [
        name for name in plain if fits_many(REGISTRY.get(name)) and set(REGISTRY.get(name).card.inputs) <= AVAILABLE
    ]
    return [*fitting, "group_dro+george", "dfr_train+errors"]


def first_order() -> list[str]:
    """Those whose steps have a size, and so a learning rate that is too large."""
    return [name for name in names() if "lr" in REGISTRY.get(name).space]


@pytest.fixture
def toy(make_prepared: MakePrepared, with_tower: Callable[[Prepared], Prepared], name: str) -> Prepared:
    """Three classes, three attributes with names, so few examples that they are less than a batch."""
    sizes = (14, 3, 4, 5, 12, 2, 3, 6, 11)
    prepared = make_prepared(train=sizes, val=(4,) * 9, test=(4,) * 9, n_attributes=3, d=5)
    assert prepared.text is not None
    if "penultimate" in REGISTRY.get(name).card.inputs:
        return with_tower(prepared)
    return replace(prepared, text=replace(prepared.text, attribute_vectors=torch.eye(3, 5)))


def tasks_of(method: Any, prepared: Prepared, seeds: tuple[int, ...]) -> list[Task]:
    view, validation = train_view(method, prepared), prepared.examples.rows("val")
    rules = load_rules("quick")
    return [
        make_task(
            method,
            prepared,
            view,
            split_validation(method, prepared.examples, validation, rules, seed)[0],
            Seed(("batches", method.card.name, seed)),
        )
        for seed in seeds
    ]


def numbers(predictor: Any) -> dict[str, torch.Tensor]:
    """Everything that a predictor has learned."""
    found = {field.name: getattr(predictor, field.name) for field in fields(predictor)}
    for name, value in list(found.items()):
        found |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {}
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def same(one: Any, other: Any, what: object) -> None:
    """Bit for bit, NaN included."""
    assert type(one) is type(other), what
    mine, theirs = numbers(one), numbers(other)
    assert mine
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(theirs[name])), (what, name)
        assert torch.equal(torch.isnan(value), torch.isnan(theirs[name])), (what, name)


def test_every_method_of_this_benchmark_is_here() -> None:
    assert {"erm", "dfr_val", "group_dro", "jtt", "afr", "cnc", "lisa_features", "erm_adapter"} <= set(names())
    assert {"afr", "cnc", "group_dro", "group_dro+george", "wise_ft_head"} <= set(first_order())
    trained = {"erm_projection", "group_dro_projection", "contrastive_yang", "contrastive_yang_vs", "cfr"}
    assert trained <= set(first_order())


Compared = tuple[Config, Sequence[Any], Sequence[Any]]
"""A configuration, its candidates among all others, its candidates alone."""


@pytest.fixture(scope="module")
def known() -> dict[str, list[Compared]]:
    """What was fitted for one test serves the next."""
    return {}


def together_and_alone(name: str, toy: Prepared, known: dict[str, list[Compared]]) -> list[Compared]:
    """For every seed and configuration of a few."""
    if name in known:
        return known[name]
    method = REGISTRY.get(name)
    tasks = tasks_of(method, toy, (0, 1, 2))
    configs = draw_configs(method.space, 3, Seed(("configurations", 0)))
    # Not task by task: whatever is put together must be put back in place.
    problems = [Problem(task, config) for config in configs for task in tasks]
    together = method.fit_many(problems)
    assert len(together) == len(problems)
    ends, compared = set(), []
    for problem, snapshots in zip(problems, together, strict=True):
        assert not isinstance(snapshots, ConfigurationError), (problem.config, str(snapshots))
        alone = method.fit(problem.task, problem.config)
        assert len(alone) == len(snapshots)
        ends.add(sum(value.sum().item() for value in numbers(snapshots[-1]).values()))
        compared.append((problem.config, snapshots, alone))
    assert len(ends) >= 3, "seeds or configurations differ, or comparing them shows nothing"
    return known.setdefault(name, compared)


@pytest.mark.parametrize("name", names())
def test_all_seeds_and_configurations_at_once_predict_what_each_does_alone(
    name: str, toy: Prepared, known: dict[str, list[Compared]]
) -> None:
    method, rows = REGISTRY.get(name), toy.examples.rows("test")
    judge, seen = Judge(method, toy), view_of(method, toy, "evaluation", rows)
    compared = []
    for config, snapshots, alone in together_and_alone(name, toy, known):
        for mine, shared in zip(alone, snapshots, strict=True):
            one, other = judge.predict([mine], rows) + judge.predict([shared], rows)
            assert isinstance(one, Judged)
            assert isinstance(other, Judged)
            # L1 is solved to a tolerance, not to the bit, in company: there alone, near ties may fall either way.
            first, second = mine.logits(seen).topk(2, dim=1).values.numpy().T
            clear = first - second > (0.02 if name.startswith("dfr") else -1)
            compared.append(clear.mean())
            np.testing.assert_array_equal(one.classes[clear], other.classes[clear])
            # Convex problems are solved to a tolerance of the objective, which leaves more room than rounding does.
            room = {"atol": 1e-3, "rtol": 1e-2}
            for key, value in numbers(mine).items():
                torch.testing.assert_close(value, numbers(shared)[key], **room, msg=lambda m: f"{config} {key}: {m}")  # noqa: B023
    # Strong L1 penalties leave heads of nothing but ties.
    assert np.mean(compared) > 0.3


# AFR starts from a head that the L2 solver made, in company to a tolerance and not to the bit.
@pytest.mark.parametrize("name", [name for name in first_order() if name != "afr"])
def test_first_order_training_is_bit_for_bit_the_same_in_any_company(
    name: str, toy: Prepared, known: dict[str, list[Compared]]
) -> None:
    for config, snapshots, alone in together_and_alone(name, toy, known):
        for mine, shared in zip(alone, snapshots, strict=True):
            same(mine, shared, (name, config))


@pytest.mark.parametrize("name", names())
def test_logits_of_many_predictors_at_once_are_those_of_each(name: str, toy: Prepared) -> None:
    method = REGISTRY.get(name)
    (task,) = tasks_of(method, toy, (0,))
    fitted = method.fit_many([Problem(task, config) for config in draw_configs(method.space, 4, Seed(("c", 0)))])
    predictors = [predictor for snapshots in fitted for predictor in snapshots]
    kind = type(predictors[0])
    for predictor, logits in zip(predictors, kind.logits_many(predictors, task.train), strict=True):
        assert torch.equal(predictor.logits(task.train), logits)


@pytest.mark.parametrize("name", first_order())
def test_a_configuration_that_diverges_loses_itself_alone(name: str, toy: Prepared) -> None:
    method = REGISTRY.get(name)
    tasks = tasks_of(method, toy, (0, 1))
    configs = draw_configs(method.space, 3, Seed(("configurations", 0)))
    without = method.fit_many([Problem(task, config) for task in tasks for config in configs])
    judge, rows = Judge(method, toy), toy.examples.rows("test")
    # First and last: NaN can spread either way.
    for place in (0, 3):
        some = [*configs[:place], {**configs[0], "lr": ABSURD}, *configs[place:]]
        problems = [Problem(task, config) for task in tasks for config in some]
        fitted = method.fit_many(problems)
        lost = [snapshots for p, snapshots in zip(problems, fitted, strict=True) if p.config["lr"] == ABSURD]
        others = [snapshots for p, snapshots in zip(problems, fitted, strict=True) if p.config["lr"] != ABSURD]
        for mine, theirs in zip(without, others, strict=True):
            for one, other in zip(mine, theirs, strict=True):
                assert all(bool(torch.isfinite(value).all()) for value in numbers(one).values())
                same(one, other, (name, place))
        for snapshots in lost:
            assert any(isinstance(outcome, ConfigurationError) for outcome in judge.predict(snapshots, rows))


class Wild:
    """A method whose second configuration has an absurd learning rate."""

    def __init__(self, method: Any) -> None:
        self.card, self._method = method.card, method
        self.space: Mapping[str, Any] = {**method.space, "lr": LogUniform(1e-5, 1e-1, first=1e-3)}

    def fit_many(self, problems: list[Problem]) -> Any:
        wild = [
            Problem(p.task, {**p.config, "lr": ABSURD}) if place % 4 == 1 else p for place, p in enumerate(problems)
        ]
        return self._method.fit_many(wild)

    def fit(self, task: Task, config: Config) -> Any:
        return self._method.fit(task, config)


@pytest.mark.parametrize("name", first_order())
def test_the_record_says_why_a_configuration_was_lost(name: str, toy: Prepared) -> None:
    method = Wild(REGISTRY.get(name))
    outcomes = evaluate(method, toy, load_rules("quick").variant(4, None), [0, 1])
    for result, _ in outcomes:
        assert result.status == "ok"
        assert len(result.configs) == 4
        lost = [candidate for candidate in result.candidates if candidate.error]
        assert lost
        assert {candidate.config for candidate in lost} == {1}
        assert all("NaN or infinite" in candidate.error for candidate in lost)
        assert all(candidate.selection is None for candidate in lost)
        assert {candidate.config for candidate in result.candidates if not candidate.error} >= {0, 2, 3}
