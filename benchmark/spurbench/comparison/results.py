"""Two sets of results, such as two commits: which records changed, and what that does to ranks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..planted.record import PlantedRecord
from ..record import Record
from ..rules import Selection
from .measure import Measure, Side, adjust, measure
from .ranks import BestChange, Cell, RankChange, rank_changes
from .reading import Results

NOT_NUMBERS = {"key", "key_parts", "times"}


@dataclass(frozen=True)
class Changed:
    """A record that both have, with other content.

    Attributes:
        fields: of the record that differ; `seeds` holds the numbers.
        seeds: how many A and B have a result for, and how many of these both have, over which they are compared.
        why_not: why the measures are not tested, or ""; without measures there is nothing to test.
    """

    cell: Cell
    fields: tuple[str, ...]
    seeds: tuple[int, int, int]
    measures: tuple[Measure, ...]
    why_not: str


@dataclass(frozen=True)
class ResultsComparison:
    """Two sets of results. Every cell of either is in one of `added` (in B alone), `removed`, `changed`, `rekeyed`
    (the same content under another key: made again by other code, or from other sources) or counted in `unchanged`.

    Attributes:
        apart: how the tables of A and B differ where neither one of them nor a planted setting is in both, or "".
        unreadable: files of A, and of B, that count as missing.
    """

    a: str
    b: str
    selection: str
    added: tuple[Cell, ...]
    removed: tuple[Cell, ...]
    changed: tuple[Changed, ...]
    changed_planted: tuple[Cell, ...]
    rekeyed: tuple[Cell, ...]
    unchanged: int
    ranks: tuple[RankChange, ...]
    bests: tuple[BestChange, ...]
    apart: str
    unreadable: tuple[int, int]


def compare_results(a: Results, b: Results, selection: Selection) -> ResultsComparison:
    """Compare two sets of results, record by record and table by table."""
    ours, theirs = _cells(a.records), _cells(b.records)
    both = sorted(ours.keys() & theirs.keys())
    fields = {cell: _differing(ours[cell], theirs[cell]) for cell in both}
    changed = [
        _changed(cell, fields[cell], Side(ours[cell], a.arrays_of), Side(theirs[cell], b.arrays_of), selection)
        for cell in both
        if fields[cell]
    ]
    adjusted = adjust([one.measures for one in changed])
    rekeyed = [cell for cell in both if not fields[cell] and ours[cell].key != theirs[cell].key]

    planted = _planted(a.planted), _planted(b.planted)
    settings = sorted(planted[0].keys() & planted[1].keys())
    other = [cell for cell in settings if _differing(planted[0][cell], planted[1][cell])]
    moved = [cell for cell in settings if cell not in other and planted[0][cell].key != planted[1][cell].key]
    ranks, bests = rank_changes(a, b, {one.cell for one in changed}, selection)
    return ResultsComparison(
        a=a.name,
        b=b.name,
        selection=selection,
        added=(*sorted(theirs.keys() - ours.keys()), *sorted(planted[1].keys() - planted[0].keys())),
        removed=(*sorted(ours.keys() - theirs.keys()), *sorted(planted[0].keys() - planted[1].keys())),
        changed=tuple(replace(one, measures=some) for one, some in zip(changed, adjusted, strict=True)),
        changed_planted=tuple(other),
        rekeyed=(*rekeyed, *moved),
        unchanged=len(both) + len(settings) - len(changed) - len(rekeyed) - len(other) - len(moved),
        ranks=tuple(ranks),
        bests=tuple(bests),
        apart="" if settings else _apart(ours, theirs),
        unreadable=(len(a.unreadable), len(b.unreadable)),
    )


def _cells(records: Iterable[Record]) -> dict[Cell, Record]:
    return {(record.rules, record.dataset, record.backbone, record.method): record for record in records}


def _apart(a: Iterable[Cell], b: Iterable[Cell]) -> str:
    """What tells the tables of A from those of B: the first part of their names of which they share nothing."""
    ours, theirs = ({cell[:3] for cell in some} for some in (a, b))
    if ours & theirs:
        return ""
    if not ours or not theirs:
        told = ("records" if some else "no record that can be read" for some in (ours, theirs))
        return ", ".join(f"{name} has {what}" for name, what in zip("AB", told, strict=True))
    for place, kind in enumerate(("rules", "data sets", "backbones")):
        one, other = ({table[place] for table in some} for some in (ours, theirs))
        if not one & other:
            return f"A has {kind} {', '.join(sorted(one))}, B {', '.join(sorted(other))}"
    return "no data set is in both under the same rules and the same backbone"


def _planted(records: Iterable[PlantedRecord]) -> dict[Cell, PlantedRecord]:
    return {("planted", record.dataset, record.backbone, record.model): record for record in records}


def _differing(a: Record | PlantedRecord, b: Record | PlantedRecord) -> tuple[str, ...]:
    """Fields that differ, apart from how and when they were computed."""
    names = [name for name in type(a).model_fields if name not in NOT_NUMBERS]
    return tuple(name for name in names if _content(name, getattr(a, name)) != _content(name, getattr(b, name)))


def _content(name: str, value: Any) -> Any:
    """What a field says; of a seed's failure the message alone, for a traceback tells of files and lines."""
    if name != "seeds":
        return value
    message = {id(seed): seed.failure.message for seed in value if seed.failure is not None}
    return [(message.get(id(seed), ""), seed.model_copy(update={"environment": {}, "failure": None})) for seed in value]


def _changed(cell: Cell, fields: tuple[str, ...], a: Side, b: Side, selection: Selection) -> Changed:
    have = [{result.seed for result in side.record.done if selection in result.selected} for side in (a, b)]
    common = have[0] & have[1]
    seeds = len(have[0]), len(have[1]), len(common)
    if not common:
        return Changed(cell, fields, seeds, (), "no seed that both have")
    measures, reason = measure(a, b, selection, common)
    return Changed(cell, fields, seeds, measures, reason)
