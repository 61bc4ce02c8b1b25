"""Records to be compared, read from a folder. No board is made of them: a comparison takes a few of their numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..board import Arrays, ArraysOf
from ..errors import DataError
from ..narrowing import Place
from ..planted.record import PlantedRecord, read_all_planted
from ..reading import kept_for_good
from ..record import Record, read_predictions, read_records, record_path


@dataclass(frozen=True)
class Results:
    """One set of results; `unreadable` has a message for each file that is left out, and counts as missing."""

    name: str
    records: tuple[Record, ...]
    planted: tuple[PlantedRecord, ...] = ()
    arrays_of: ArraysOf = lambda _: None
    unreadable: tuple[str, ...] = ()

    @property
    def places(self) -> set[Place]:
        """Where it has records."""
        return {(one.dataset, one.backbone) for some in (self.records, self.planted) for one in some}

    def within(self, places: Collection[Place]) -> Results:
        """The records of some places alone."""
        return replace(
            self,
            records=tuple(one for one in self.records if (one.dataset, one.backbone) in places),
            planted=tuple(one for one in self.planted if (one.dataset, one.backbone) in places),
        )


def by_fault(messages: Iterable[str]) -> list[str]:
    """What is said of files that are left out: one message for each fault, with how many have it and the first.

    Faults are alike that are said alike up to their details, which a colon or semicolon begins.
    """
    kinds: dict[str, list[str]] = {}
    for message in messages:
        file = re.match(r".*?\.(json|npz|csv)\b", message)
        kinds.setdefault(re.split("[:;]", message[file.end() if file else 0 :])[0], []).append(message)
    return [
        some[0] if len(some) == 1 else f"{len(some)} files with the same fault, the first: {some[0]}"
        for some in kinds.values()
    ]


def read_results(folder: Path, name: str, *, strict: bool = False) -> Results:
    """All records of a results folder. Raises DataError for a file that cannot be read if strict."""
    broken: list[str] | None = None if strict else []

    def arrays_of(record: Record) -> Arrays | None:
        try:
            return read_predictions(
                record_path(folder, record.rules, record.dataset, record.backbone, record.method), record
            )
        except DataError:
            return None

    with kept_for_good():
        records, planted = tuple(read_records(folder, broken)), tuple(read_all_planted(folder, broken))
    return Results(name, records, planted, arrays_of, tuple(broken or ()))
