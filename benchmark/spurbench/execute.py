"""Run a plan: jobs to an executor, events back, records written after every seed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import numpy as np

from .amending import LOCKS, changing, sound
from .attention import Attention
from .cards import DatasetCard, MethodCard
from .data import Examples
from .errors import DataError
from .jobs import Arrays, Event, Executor, Finished, Job, failed
from .keys import supervision
from .plan import Plan, Row
from .provenance import environment
from .record import (
    GROUPS,
    Record,
    SeedResult,
    Times,
    array_hash,
    predictions_name,
    read_record,
    recount,
    write_record,
)
from .registry import OURS, Registries
from .rules import Rules

T = TypeVar("T")


def run_plan(
    plan: Plan,
    registries: Registries,
    executor: Executor,
    *,
    data_root: Path,
    cache: Path,
    device: str,
    precision: str,
    memory_limit: int,
    listen: Callable[[Row, Event], None],
) -> None:
    """Compute every cell of a plan that needs it, and write each row's record after every seed.

    Rows whose data or weights are absent (they have no key) are reported to `listen` as failed and leave no record:
    there is nothing yet that a record could be keyed by.
    """
    for row in plan.rows:
        seeds = row.todo()
        if not seeds:
            continue
        if not row.key:
            reasons = {cell.seed: cell.reason for cell in row.cells}
            for seed in seeds:
                listen(row, Finished(failed(seed, reasons[seed]), {}, 0.0))
            continue
        job = Job(
            row.key,
            row.dataset_spec,
            row.backbone_spec,
            row.method,
            tuple(seeds),
            plan.rules,
            data_root,
            cache,
            device,
            precision,
            memory_limit,
            isolated=not registries.methods.origin(row.method).startswith(OURS),
        )
        data = plan.data[row.dataset_spec]
        writer = RecordWriter(
            row,
            plan.rules,
            registries.methods.get(row.method).card,
            data.card,
            data.examples,
            device,
            cache / LOCKS,
        )

        def hear(event: Event, row: Row = row, writer: RecordWriter = writer) -> None:
            if isinstance(event, Finished):
                event = writer.add(event)
            listen(row, event)

        executor.run(job, hear)


class RecordWriter:
    """Keeps one row's record and predictions, and writes both after every seed."""

    def __init__(
        self,
        row: Row,
        rules: Rules,
        method: MethodCard,
        card: DatasetCard,
        examples: Examples,
        device: str,
        locks: Path,
    ) -> None:
        self.row, self.rules, self.method, self.card = row, rules, method, card
        self.train_total = examples.group_totals("train")
        self.groups = examples.groups[examples.rows("test")].astype(np.int16)
        self.environment = environment(device)
        self.locks = locks
        self.redone = set(row.todo())
        self.fresh: dict[int, SeedResult] = {}
        self.seconds: dict[str, float] = {}
        self.peak_memory: dict[str, int] = {}
        self.predictions: Arrays = {GROUPS: self.groups}

    def add(self, event: Finished) -> Finished:
        """Add a seed's result to what the record holds by now, and write: another run may have added to it meanwhile.

        A broken record, or one from another version of this program, is moved aside, not overwritten.
        """
        event = self._audited(event)
        self.fresh[event.result.seed] = event.result.model_copy(update={"environment": self.environment})
        self.seconds[str(event.result.seed)] = round(event.seconds, 3)
        if event.peak_memory:
            self.peak_memory[str(event.result.seed)] = event.peak_memory
        self.predictions |= event.predictions
        with changing(self.row.path, self.locks):
            results, times, attention, predictions = self._kept()
            results |= self.fresh
            record = self._record(results, times, attention)
            write_record(self.row.path, record, predictions | self.predictions)
        return event

    def _audited(self, event: Finished) -> Finished:
        """The event, or a failure where its counts are not those of its predictions, counted again over here."""
        for rule, selected in event.result.selected.items():
            array = event.predictions.get(predictions_name(event.result.seed, rule))
            counts = None if array is None else recount(self.groups, array, self.card)
            if counts != selected.test:
                message = f"the counts of rule {rule} are not those of its predictions: something tampered with the run"
                return Finished(failed(event.result.seed, message), {}, event.seconds, event.peak_memory)
        return event

    def _kept(self) -> tuple[dict[int, SeedResult], Times, Attention | None, Arrays]:
        """The seeds in the file that have the present key and are not to be redone, with all that belongs to them."""
        nothing: tuple[dict[int, SeedResult], Times, None, Arrays] = ({}, Times(updated="", seconds={}), None, {})
        try:
            record = read_record(self.row.path)
            if record is None or record.key != self.row.key:
                return nothing
            record, arrays = sound(self.row.path, record)
        except DataError:
            for file in (self.row.path, self.row.path.with_suffix(".npz")):
                if file.exists():
                    file.replace(file.with_suffix(f"{file.suffix}.broken"))
            return nothing
        results = {result.seed: result for result in record.seeds if result.seed not in self.redone}
        kept = {str(seed) for seed in results}
        times = Times(
            updated=record.times.updated,
            seconds={seed: value for seed, value in record.times.seconds.items() if seed in kept},
            peak_memory={seed: value for seed, value in record.times.peak_memory.items() if seed in kept},
        )
        attention = None if record.attention is None else record.attention.of(kept)
        own = {name: array for name, array in arrays.items() if name.partition(".")[0] in kept}
        return results, times, attention, own

    def _record(self, results: dict[int, SeedResult], before: Times, attention: Attention | None) -> Record:
        row, method, card = self.row, self.method, self.card
        text = "text" in method.inputs
        return Record(
            rules=self.rules.name,
            dataset=row.dataset,
            backbone=row.backbone,
            method=row.method,
            key=row.key,
            key_parts=row.key_parts,
            title=method.title,
            paper=method.paper,
            supervision=list(supervision(method, self.rules.attribute).words),
            trains=method.trains,
            refit=method.refit,
            prompts=_prompts_in_use(card, self.rules) if text else "",
            classes=list(card.classes),
            attributes=list(card.attributes),
            train_total=self.train_total,
            budget=self.rules.tracks[method.track],
            confidence=self.rules.confidence,
            test_groups=array_hash(self.groups),
            seeds=[results[seed] for seed in sorted(results)],
            attention=attention,
            times=Times(
                updated=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                seconds=_by_seed(before.seconds | self.seconds),
                peak_memory=_by_seed(before.peak_memory | self.peak_memory),
            ),
        )


def _by_seed(values: dict[str, T]) -> dict[str, T]:
    return dict(sorted(values.items(), key=lambda item: int(item[0])))


def _prompts_in_use(card: DatasetCard, rules: Rules) -> str:
    return "of the data set's features" if card.own_features else card.prompt_set(rules.prompts).name
