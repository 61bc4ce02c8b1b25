"""From names to models: records that are there or are made first, and the models that they tell of, made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..amending import LOCKS, changing
from ..errors import DataError, MethodError, UsageError
from ..execute import run_plan
from ..executors.inline import InlineExecutor
from ..jobs import Event, Finished, Stage
from ..method import Method
from ..plan import Plan, Row
from ..record import Record, predictions_name, read_predictions, read_record
from ..remade import Remade, remake
from ..rules import Selection
from ..session import Session
from ..space import Config
from ..study import Listen
from ..workbench import Workbench


@dataclass(frozen=True, eq=False)
class Recorded:
    """One method's record, and the models of the seeds that were asked for.

    Attributes:
        arrays: the record's predictions.
        models: one per seed, in their order.
    """

    row: Row
    record: Record
    arrays: Mapping[str, NDArray[np.int16]]
    models: tuple[Remade, ...]


def possible(session: Session) -> tuple[Plan, list[str]]:
    """The session's plan without the methods that cannot run there, and why each of these cannot.

    Raises:
        UsageError: no method can.
        DataError: data or weights that are not here.
    """
    plan, rows, why = session.plan(), [], []
    for row in plan.rows:
        cell = row.cells[0]
        if cell.status == "impossible":
            why.append(f"{row.method} cannot run on {row.dataset} and is left out: {cell.reason}")
        elif not row.key:
            raise DataError(cell.reason)
        else:
            rows.append(row)
    if not rows:
        raise UsageError(f"there is no model to explain: {'; '.join(why)}")
    return replace(plan, rows=tuple(rows)), why


def completed(session: Session, plan: Plan, memory_limit: int, listen: Listen) -> Plan:
    """The plan with a result in every cell: those that had none are computed, in this process.

    Raises:
        MethodError: cells that failed.
    """
    todo = sum(len(row.todo()) for row in plan.rows)
    if not todo:
        return plan
    listen(f"{todo} cells have no record yet and are run first, as `spurbench run` does")
    faults: dict[str, list[int]] = {}

    def hear(row: Row, event: Event) -> None:
        if isinstance(event, Finished) and event.result.failure is not None:
            faults.setdefault(f"{row.method}: {event.result.failure.message}", []).append(event.result.seed)
        elif isinstance(event, Stage):
            listen(f"{row.method} · {event}")

    executor = InlineExecutor(session.registries)
    run_plan(
        plan, session.registries, executor, data_root=session.data_root, cache=session.cache,
        device=session.torch_device, precision=session.precision, memory_limit=memory_limit, listen=hear,
    )  # fmt: skip
    executor.close()
    if faults:
        told = "; ".join(f"{message} (seed {', '.join(map(str, seeds))})" for message, seeds in faults.items())
        raise MethodError(f"nothing to explain where cells failed: {told}")
    return possible(session)[0]


def recorded(
    session: Session,
    plan: Plan,
    selection: Selection,
    memory_limit: int,
    listen: Listen,
) -> list[Recorded]:
    """The records of a plan's rows, all of one data set and backbone, and their models.

    Raises:
        MethodError: a model that cannot be made again.
    """
    bench: Workbench | None = None
    found = []
    for row in plan.rows:
        seeds = tuple(cell.seed for cell in row.cells)
        job = session.job(row.key, row.dataset_spec, row.backbone_spec, row.method, seeds, plan.rules, memory_limit)
        bench = bench or Workbench(session.registries, job)
        method = session.registries.methods.fresh(row.method)

        def hear(event: Event, row: Row = row) -> None:
            if isinstance(event, Stage):
                listen(f"{row.method} · {event}")

        prepared = bench.prepare(job, method, hear)
        record, arrays = _read(row, session)
        models: dict[int, Remade] = {}
        for seed in seeds:
            twin = _twin(method, record, models, seed, selection)
            if twin is not None:
                models[seed] = replace(twin, seed=seed, recorded=arrays[predictions_name(seed, selection)])
                continue
            listen(f"{row.method}, seed {seed}: what the record tells of is fitted once more")
            models[seed] = remake(method, prepared, plan.rules, record, arrays, seed, selection)
        found.append(Recorded(row, record, arrays, tuple(models.values())))
    return found


def _read(row: Row, session: Session) -> tuple[Record, Mapping[str, NDArray[np.int16]]]:
    """The row's record as it is now, and its arrays, while nobody writes to either. Raises DataError."""
    with changing(row.path, session.cache / LOCKS):
        record = read_record(row.path)
        if record is None or record.key != row.key:
            raise DataError(f"{row.path} is another record by now than when this began; run the same command again")
        return record, read_predictions(row.path, record)


def _twin(
    method: Method, record: Record, models: Mapping[int, Remade], seed: int, selection: Selection
) -> Remade | None:
    """The model of another seed that is this one's too: where nothing is trained, the configuration decides it."""
    if method.card.trains != "nothing" or method.card.supervision.validation:
        return None
    mine = _chosen(record, seed, selection)
    return next((model for other, model in models.items() if _chosen(record, other, selection) == mine), None)


def _chosen(record: Record, seed: int, selection: Selection) -> tuple[Config, int] | None:
    """The configuration and the snapshot that a rule chose for a seed; None where it chose none."""
    result = next((result for result in record.done if result.seed == seed), None)
    if result is None or selection not in result.selected:
        return None
    candidate = result.candidates[result.selected[selection].candidate]
    return result.configs[candidate.config], candidate.snapshot
