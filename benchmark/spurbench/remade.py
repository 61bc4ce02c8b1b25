"""A recorded model made again: the configuration that a selection rule chose, fitted as it was for the record.

A record keeps what a model predicted, not the model. Its seeds, data and code are in its key, so that the same fit on
the same machine gives the same predictions; what it gives is compared with those that the record has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .data import Ints
from .errors import ConfigurationError, MethodError, SpurbenchError
from .evaluation import FIT, REFIT
from .isolation import isolated_randomness, threads_for
from .judge import Judge
from .method import Method, Predictor, Problem, fit_many, fits_many
from .record import Record, predictions_name
from .rules import Rules, Selection
from .seeds import Seed
from .space import draw_configs
from .tasks import Prepared, make_task, scratch_of, split_validation, train_view


@dataclass(frozen=True, eq=False)
class Remade:
    """A model that a record tells of.

    Attributes:
        method: that fitted it.
        prepared: what it was fitted on.
        predictor: the model.
        seed: of the record.
        recorded: (n_test,) int16, the classes that the record has for test.
        predicted: (n_test,) int16, those that the model made again gives.
    """

    method: Method
    prepared: Prepared
    predictor: Predictor
    seed: int
    recorded: NDArray[np.int16]
    predicted: NDArray[np.int16]


def remake(
    method: Method,
    prepared: Prepared,
    rules: Rules,
    record: Record,
    arrays: Mapping[str, NDArray[np.int16]],
    seed: int,
    selection: Selection,
) -> Remade:
    """The model of one seed under one selection rule, fitted as `evaluation.evaluate` did for the record.

    Args:
        record: with the key of this method on what was prepared.
        arrays: the record's predictions.

    Raises:
        MethodError: the seed or the rule has no result, the fit does not give what it gave for the record, or the
            method raises something of its own.
    """
    found = next((result for result in record.done if result.seed == seed and selection in result.selected), None)
    if found is None:
        raise MethodError(f"{record.method}: seed {seed} has no result under the rule {selection}")
    chosen = found.candidates[found.selected[selection].candidate]
    if prepared.scratch is not None:
        # A run of the same cell, should one be going on, keeps what is its own.
        prepared = replace(prepared, scratch=prepared.scratch.with_name(f"{prepared.scratch.name}-remade"))
    examples, refit = prepared.examples, method.card.refit
    validation = examples.rows("val")
    rows = validation if refit else split_validation(method, examples, validation, rules, seed)[0]
    config = draw_configs(method.space, len(found.configs), Seed(("configurations", seed)))[chosen.config]
    path = Seed((*prepared.fingerprints, method.card.name, seed))
    task = make_task(method, prepared, train_view(method, prepared), rows, path.derive(REFIT if refit else FIT))
    together = fits_many(method) and not method.card.supervision.validation
    with _one_line(record.method), threads_for(method.card.track):
        with isolated_randomness((Seed(path.path[:-1]) if together else path).derive("global")):
            (fitted,) = fit_many(method, [Problem(task, config)])
        if isinstance(fitted, ConfigurationError):
            raise fitted
        if len(fitted) <= chosen.snapshot:
            raise MethodError(
                f"{record.method} gave {len(fitted)} snapshots, the record chose number {chosen.snapshot}"
            )
        predictor = fitted[chosen.snapshot]
    predicted = classes(method, prepared, predictor, seed, examples.rows("test"))
    # What a predictor still reads there stays readable.
    scratch_of(prepared, task.seed).clear()
    return Remade(method, prepared, predictor, seed, arrays[predictions_name(seed, selection)], predicted)


def classes(method: Method, prepared: Prepared, predictor: Predictor, seed: int, rows: Ints) -> NDArray[np.int16]:
    """(n,) classes that the model of a seed gives to rows, asked as the harness asks. Raises MethodError."""
    path = Seed((*prepared.fingerprints, method.card.name, seed))
    with _one_line(method.card.name), threads_for(method.card.track), isolated_randomness(path.derive("judging")):
        (outcome,) = Judge(method, prepared).predict([predictor], rows)
    if isinstance(outcome, ConfigurationError):
        raise MethodError(f"{method.card.name}: {outcome}") from outcome
    return outcome.classes


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Whatever a method raises becomes a MethodError, for whoever sees no traceback."""
    try:
        yield
    except SpurbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"{name} raised {type(error).__name__}: {error}; --debug shows where") from error
