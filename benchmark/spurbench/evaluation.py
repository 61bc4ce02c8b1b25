"""The cells of one method: draw configurations, fit, select on validation, judge on test. The rules, carried out.

Test labels and groups never leave this module's caller: methods and predictors get views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .data import Ints
from .errors import ConfigurationError, MethodError
from .isolation import isolated_randomness, threads_for
from .judge import Judge, Judged
from .method import Fitted, Method, Predictor, Problem, fit_many, fits_many
from .record import Candidate, SeedResult, Selected, array_hash, predictions_name
from .rules import Rules, Selection
from .seeds import Seed
from .space import Config, draw_configs
from .tasks import Prepared, make_task, scratch_of, split_validation, train_view

Outcome: TypeAlias = "tuple[SeedResult, dict[str, NDArray[np.int16]]]"

FIT, REFIT = "fit", "refit"


@dataclass
class _Cell:
    """One seed on its way from configurations to a result."""

    seed: int
    path: Seed
    fit_rows: Ints
    selection_rows: Ints
    configs: list[Config]
    candidates: list[Candidate] = field(default_factory=list)
    predicted: list[Judged | None] = field(default_factory=list)
    parameters: list[int | None] = field(default_factory=list)
    chosen: dict[Selection, int] = field(default_factory=dict)


def evaluate(method: Method, prepared: Prepared, rules: Rules, seeds: Sequence[int]) -> list[Outcome]:
    """For each seed, its result and the predicted classes on test by name (see `record.predictions_name`).

    A method with `fit_many` fits the configurations of all seeds in one call; of each seed by itself where it fits
    on a part of validation. What a seed gives does not depend on the seeds it is evaluated with.

    Raises:
        SpurbenchError: the method broke its contract or asked for what it does not declare.
        Exception: whatever the method raises.
    """
    cells = [_start(method, prepared, rules, seed) for seed in seeds]
    judge = Judge(method, prepared)
    with threads_for(method.card.track):
        problems = _problems(method, prepared, cells, FIT, lambda cell: (cell.fit_rows, cell.configs))
        for cell, fitted in zip(cells, _fit(method, cells, problems), strict=True):
            with isolated_randomness(cell.path.derive("judging")):
                _judge(judge, cell, fitted)
                total = judge.totals(cell.selection_rows)
                cell.chosen = select(cell.candidates, total, rules.selection, prepared.examples.n_attributes)
        if method.card.refit:
            _refit(method, prepared, judge, cells)
    outcomes = [_outcome(judge, cell) for cell in cells]
    for cell in cells:
        for purpose in (FIT, REFIT):
            scratch_of(prepared, cell.path.derive(purpose)).clear()
    return outcomes


def _start(method: Method, prepared: Prepared, rules: Rules, seed: int) -> _Cell:
    examples = prepared.examples
    fit_rows, selection_rows = split_validation(method, examples, examples.rows("val"), rules, seed)
    if np.intersect1d(fit_rows, selection_rows).size or np.intersect1d(selection_rows, examples.rows("train")).size:
        raise AssertionError("examples that a method fits on must never be selected on")
    # Without validation there is nothing to choose by, and the paper's own configuration is tried alone.
    budget = rules.tracks[method.card.track].configurations if len(examples.rows("val")) else 1
    configs = draw_configs(method.space, budget, Seed(("configurations", seed)))
    path = Seed((*prepared.fingerprints, method.card.name, seed))
    return _Cell(seed, path, fit_rows, selection_rows, configs)


def _problems(
    method: Method,
    prepared: Prepared,
    cells: Sequence[_Cell],
    purpose: str,
    of: Callable[[_Cell], tuple[Ints, Sequence[Config]]],
) -> list[list[Problem]]:
    """The problems of each cell; `of` gives the rows of validation to fit on, and the configurations."""
    train = train_view(method, prepared)
    problems = []
    for cell in cells:
        rows, configs = of(cell)
        task = make_task(method, prepared, train, rows, cell.path.derive(purpose))
        problems.append([Problem(task, config) for config in configs])
    return problems


def _fit(method: Method, cells: Sequence[_Cell], problems: Sequence[Sequence[Problem]]) -> list[list[Fitted]]:
    # The halves of validation that several seeds fit on cover those that they are selected on.
    if not fits_many(method) or method.card.supervision.validation:
        fitted = []
        for cell, some in zip(cells, problems, strict=True):
            with isolated_randomness(cell.path.derive("global")):
                fitted.append(fit_many(method, some))
        return fitted
    # One call for all seeds cannot be started from any one of them.
    with isolated_randomness(Seed(cells[0].path.path[:-1]).derive("global")):
        together = iter(fit_many(method, [problem for some in problems for problem in some]))
    return [[next(together) for _ in some] for some in problems]


def _judge(judge: Judge, cell: _Cell, fitted: Sequence[Fitted]) -> None:
    """Fill in the cell's candidates and what they predict on test."""
    test_rows = judge.prepared.examples.rows("test")
    predictors = [p for snapshots in fitted if not isinstance(snapshots, ConfigurationError) for p in snapshots]
    on_selection = iter(judge.predict(predictors, cell.selection_rows))
    on_test = iter(judge.predict(predictors, test_rows, scored=True))
    for index, snapshots in enumerate(fitted):
        if isinstance(snapshots, ConfigurationError):
            _lose(cell, Candidate(index, 0, None, None, str(snapshots)))
            continue
        for snapshot, predictor in enumerate(snapshots):
            selection, test = next(on_selection), next(on_test)
            error = next((str(part) for part in (selection, test) if isinstance(part, ConfigurationError)), "")
            if isinstance(selection, ConfigurationError) or isinstance(test, ConfigurationError):
                _lose(cell, Candidate(index, snapshot, None, None, error))
                continue
            counts = judge.correct(selection.classes, cell.selection_rows), judge.correct(test.classes, test_rows)
            reached = getattr(predictor, "optimality", None)
            cell.candidates.append(
                Candidate(index, snapshot, *counts, optimality=None if reached is None else float(f"{reached:.1e}"))
            )
            cell.predicted.append(test)
            cell.parameters.append(_trained_parameters(judge.method, predictor))


def _lose(cell: _Cell, candidate: Candidate) -> None:
    """A candidate that cannot be chosen."""
    cell.candidates.append(candidate)
    cell.predicted.append(None)
    cell.parameters.append(None)


def _trained_parameters(method: Method, predictor: Predictor) -> int | None:
    """How many parameters were trained; None where the predictor does not say."""
    said = 0 if method.card.trains == "nothing" else getattr(predictor, "trained_parameters", None)
    return said if isinstance(said, int) and said >= 0 else None


def _refit(method: Method, prepared: Prepared, judge: Judge, cells: Sequence[_Cell]) -> None:
    """Fit what each seed chose once more, on all of validation, and let that predict on test."""
    validation = prepared.examples.rows("val")
    wanted = {cell.seed: sorted(set(cell.chosen.values())) for cell in cells}

    def chosen(cell: _Cell) -> tuple[Ints, Sequence[Config]]:
        return validation, [cell.configs[cell.candidates[index].config] for index in wanted[cell.seed]]

    problems = _problems(method, prepared, cells, REFIT, chosen)
    for cell, fitted in zip(cells, _fit(method, cells, problems), strict=True):
        predictors: list[Predictor] = []
        for index, snapshots in zip(wanted[cell.seed], fitted, strict=True):
            snapshot = cell.candidates[index].snapshot
            if isinstance(snapshots, ConfigurationError):
                raise snapshots
            if len(snapshots) <= snapshot:
                raise MethodError(f"the refit returned {len(snapshots)} snapshots, and number {snapshot} was chosen")
            predictors.append(snapshots[snapshot])
        with isolated_randomness(cell.path.derive("judging")):
            outcomes = judge.predict(predictors, prepared.examples.rows("test"), scored=True)
        for index, predictor, outcome in zip(wanted[cell.seed], predictors, outcomes, strict=True):
            if isinstance(outcome, ConfigurationError):
                raise outcome
            cell.predicted[index] = outcome
            cell.parameters[index] = _trained_parameters(method, predictor)


def _outcome(judge: Judge, cell: _Cell) -> Outcome:
    test_rows = judge.prepared.examples.rows("test")
    selected: dict[Selection, Selected] = {}
    predictions: dict[str, NDArray[np.int16]] = {}
    for rule, index in cell.chosen.items():
        final = cell.predicted[index]
        assert final is not None
        predictions[predictions_name(cell.seed, rule)] = final.classes
        selected[rule] = Selected(
            candidate=index,
            test=judge.correct(final.classes, test_rows),
            predictions=array_hash(final.classes),
            scores=final.scores,
            parameters=cell.parameters[index],
        )
    result = SeedResult(
        seed=cell.seed,
        status="ok",
        selection_total=judge.totals(cell.selection_rows),
        test_total=judge.totals(test_rows),
        configs=[dict(config) for config in cell.configs],
        candidates=cell.candidates,
        selected=selected,
    )
    return result, predictions


def select(
    candidates: Sequence[Candidate], total: Sequence[int], rules: Sequence[Selection], n_attributes: int
) -> dict[Selection, int]:
    """The index of the candidate that each rule chooses; the earliest among equals, so the paper's own before others.

    Raises MethodError if no candidate can be chosen.
    """
    usable = [i for i, candidate in enumerate(candidates) if candidate.selection is not None]
    if not usable:
        raise MethodError(f"no configuration gave usable predictions: {candidates[0].error}")
    if not sum(total):
        if len(candidates) > 1:
            raise MethodError("there is no validation split to choose a configuration on")
        return dict.fromkeys(rules, usable[0])
    scores: Mapping[Selection, Callable[[Sequence[int]], float]] = {
        "worst_group": lambda correct: metrics.worst_group_accuracy(correct, total),
        "worst_class": lambda correct: metrics.worst_class_accuracy(correct, total, n_attributes),
        "average": lambda correct: metrics.accuracy(correct, total),
    }
    return {rule: max(usable, key=lambda i: (scores[rule](candidates[i].selection or ()), -i)) for rule in rules}
