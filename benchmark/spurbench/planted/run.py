"""Make planted models, and keep what is found in records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from ..amending import changing
from ..errors import DataError
from ..executors.worker import Worker
from ..record import Times
from .jobs import Done, PlantedEvent, PlantedJob
from .plan import PlantedRow
from .pool import Inline, run_jobs
from .record import PlantedRecord, PlantedSeed, read_planted, write_planted

Listener = Callable[[PlantedRow, PlantedJob, PlantedEvent], None]


def run_rows(rows: Sequence[PlantedRow], workers: Sequence[Worker | Inline], locks: Path, listen: Listener) -> None:
    """Do what is left of the rows; a row's record is written after every model."""
    row_of = {id(job): row for row in rows for job in row.jobs}

    def hear(job: PlantedJob, event: PlantedEvent) -> None:
        row = row_of[id(job)]
        if isinstance(event, Done):
            _add(row, event, locks)
        listen(row, job, event)

    run_jobs([job for row in rows for job in row.jobs], workers, hear)


def _add(row: PlantedRow, event: Done, locks: Path) -> None:
    """Add a seed to what the record holds by now: another run may have added to it meanwhile."""
    with changing(row.path, locks):
        seeds, seconds = _kept(row)
        seeds[event.result.seed] = event.result
        seconds[str(event.result.seed)] = round(seconds.get(str(event.result.seed), 0.0) + event.seconds, 3)
        write_planted(row.path, _record(row, seeds, seconds))


def _kept(row: PlantedRow) -> tuple[dict[int, PlantedSeed], dict[str, float]]:
    """The seeds in the file that have the present key. A broken file is moved aside, not overwritten."""
    try:
        record = read_planted(row.path)
    except DataError:
        row.path.replace(row.path.with_suffix(".json.broken"))
        return {}, {}
    if record is None or record.key != row.key:
        return {}, {}
    return {result.seed: result for result in record.seeds}, dict(record.times.seconds)


def _record(row: PlantedRow, seeds: dict[int, PlantedSeed], seconds: dict[str, float]) -> PlantedRecord:
    assert row.data is not None
    card, examples = row.data.card, row.data.examples
    return PlantedRecord(
        base=row.setting.base.name,
        dataset=row.setting.dataset,
        backbone=row.backbone,
        model=row.key_parts["model"],
        label=row.label,
        strength=row.setting.strength,
        region_spec=row.data.card.regions,
        key=row.key,
        key_parts=row.key_parts,
        classes=list(card.classes),
        attributes=list(card.attributes),
        train_total=examples.group_totals("train"),
        test_total=examples.group_totals("test"),
        seeds=[seeds[seed] for seed in sorted(seeds)],
        times=Times(
            updated=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            seconds=dict(sorted(seconds.items(), key=lambda item: int(item[0]))),
        ),
    )
