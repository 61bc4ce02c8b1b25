"""What a record's model predicts on validation: a record keeps predictions on test alone, and no model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backbones import resolve
from ..data import Ints
from ..errors import UnknownNameError, UsageError
from ..files import digest
from ..jobs import Event, Stage
from ..keys import LoadedData, checked_method, impossible_reason, key_parts
from ..method import Method
from ..plan import changed
from ..record import read_predictions
from ..remade import classes, remake
from ..rules import Rules, load_rules, named
from ..session import Session
from ..tasks import split_validation
from ..workbench import Workbench
from .cell import RULE, Cell


def refitted(
    session: Session,
    cell: Cell,
    dataset: str,
    backbone: str,
    data: LoadedData,
    *,
    memory_limit: int,
    listen: Callable[[str], None],
) -> tuple[Ints, Ints, str]:
    """Fit a record's model once more, and have it predict.

    Args:
        dataset, backbone: names as on the command line.
        data: the data set.
        memory_limit: bytes that the fit may use for itself.
        listen: told what is being done.

    Returns:
        (n,) rows of validation that the model was not fitted on, ascending; (n,) int64 classes; and what a reader
        should know where the model is not the record's, else nothing.

    Raises:
        UsageError: a record of other data, weights, code or words than those here, or a model that was fitted on all
            of validation.
        MethodError: the model cannot be made again.
    """
    record = cell.record
    method: Method = checked_method(session.registries, record.method)
    rules = _rules(cell)
    resolved = resolve(session.registries.backbones, backbone, session.setting)
    reason = impossible_reason(method.card, data, resolved, rules)
    if reason:
        raise UsageError(f"{cell.path} cannot be made again: {reason}")
    parts = key_parts(method, data, resolved, rules)
    if digest(parts) != record.key:
        what = ", ".join(changed(record.key_parts, parts))
        raise UsageError(
            f"{cell.path} cannot be made again, for something changed since ({what}); run its method again"
        )
    rows = _unseen(cell, method, data, rules)
    job = session.job(record.key, dataset, backbone, record.method, (cell.seed,), rules, memory_limit)

    def hear(event: Event) -> None:
        if isinstance(event, Stage):
            listen(f"{record.method} · {event}")

    prepared = Workbench(session.registries, job).prepare(job, method, hear)
    listen(f"{record.method}, seed {cell.seed}: what the record tells of is fitted once more")
    made = remake(method, prepared, rules, record, read_predictions(cell.path, record), cell.seed, RULE)
    predicted = classes(method, prepared, made.predictor, cell.seed, rows)
    differ = int((made.predicted != made.recorded).sum())
    note = f"{record.method}: fitted once more, it predicts another class for {differ:,} test photos" if differ else ""
    return rows, predicted.astype(np.int64), note


def _rules(cell: Cell) -> Rules:
    """Those that a record is of. Raises UsageError where its name does not say all of them."""
    said = named(cell.record.rules)
    if said.attributes is not None:
        raise UsageError(
            f"{cell.path} is of a model that was told {said.attributes}; leave --split out to look at test"
        )
    try:
        return load_rules(said.base).variant(said.configurations, said.prompts)
    except UnknownNameError as error:
        raise UsageError(f"{cell.path} is of rules that are not here: {error}") from error


def _unseen(cell: Cell, method: Method, data: LoadedData, rules: Rules) -> Ints:
    """(n,) rows of validation that the model was not fitted on. Raises UsageError for none."""
    _, rows = split_validation(method, data.examples, data.examples.rows("val"), rules, cell.seed)
    if method.card.refit or not len(rows):
        raise UsageError(
            f"{cell.record.method} was fitted on all validation photos of {data.card.name}, on which it seldom errs; "
            "leave --split out to look at test"
        )
    return rows
