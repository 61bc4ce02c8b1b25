"""Two methods, of one set of results or of two, table by table and over all tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..board import leading, track_of
from ..record import Record
from ..rules import Selection
from .across import Across, across
from .measure import Measure, Name, Side, adjust, measure, why_other_examples
from .reading import Results


@dataclass(frozen=True)
class MethodOf:
    """A method, and the results that its records are in."""

    name: str
    results: Results


@dataclass(frozen=True)
class Pair:
    """One table: a data set and backbone under one version of the rules.

    Attributes:
        seeds: how many leading ones A and B have, and how many of these both have, over which they are compared; the
            leaderboard compares over those that every complete method of the table has. 0 where nothing is compared.
        measures: empty where nothing is compared.
        why_not: why nothing is compared, or why what is compared is not tested; or "".
        notes: what a reader should know before believing it.
    """

    rules: str
    dataset: str
    backbone: str
    seeds: tuple[int, int, int]
    measures: tuple[Measure, ...]
    why_not: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MethodComparison:
    """Two methods over every table that has either; differences are B - A.

    Attributes:
        a, b: their names, with those of the results where they are of two.
    """

    a: str
    b: str
    selection: str
    pairs: tuple[Pair, ...]
    across: tuple[Across, ...]


def compare_methods(a: MethodOf, b: MethodOf, selection: Selection) -> MethodComparison:
    """Compare two methods; a table that lacks one of them is there, and says so."""
    sides = [
        {
            (record.rules, record.dataset, record.backbone): Side(record, one.results.arrays_of)
            for record in one.results.records
            if record.method == one.name
        }
        for one in (a, b)
    ]
    names = a.name, b.name
    if a.results.name != b.results.name:
        names = f"{a.name} ({a.results.name})", f"{b.name} ({b.results.name})"
    places = sorted(sides[0].keys() | sides[1].keys())
    pairs = [_pair(where, sides[0].get(where), sides[1].get(where), names, selection) for where in places]
    adjusted = adjust([pair.measures for pair in pairs])
    pairs = [replace(pair, measures=some) for pair, some in zip(pairs, adjusted, strict=True)]
    confidence = max((side.record.confidence for some in sides for side in some.values()), default=0.95)
    return MethodComparison(*names, selection, tuple(pairs), tuple(_across(pairs, confidence)))


def _pair(
    where: tuple[str, str, str], a: Side | None, b: Side | None, names: tuple[str, str], selection: Selection
) -> Pair:
    if a is None or b is None:
        return Pair(*where, (0, 0, 0), (), f"no record of {names[0] if a is None else names[1]} that can be read")
    why_not = _why_not((a.record, b.record), names, selection)
    if why_not:
        return Pair(*where, (0, 0, 0), (), why_not)
    have = leading(a.record), leading(b.record)
    measures, reason = measure(a, b, selection, range(min(have)))
    not_tested = f"not tested: {reason}" if reason else ""
    return Pair(*where, (*have, min(have)), measures, not_tested, _notes(a.record, b.record))


def _why_not(records: tuple[Record, Record], names: tuple[str, str], selection: Selection) -> str:
    for name, record in zip(names, records, strict=True):
        if not leading(record):
            return f"{name} is incomplete: {len(record.done)} of {record.budget.seeds} seeds"
        if any(selection not in result.selected for result in record.done):
            return f"{name} has nothing selected by {selection}"
    return why_other_examples(*records)


def _notes(a: Record, b: Record) -> tuple[str, ...]:
    notes = []
    if track_of(a.supervision) != track_of(b.supervision):
        notes.append(f"not told as much: A {track_of(a.supervision)}, B {track_of(b.supervision)}")
    if a.budget.configurations != b.budget.configurations:
        notes.append(
            f"not the same budget: A may try {a.budget.configurations} configurations a seed, "
            f"B {b.budget.configurations}"
        )
    return tuple(notes)


def _across(pairs: list[Pair], confidence: float) -> list[Across]:
    found: dict[tuple[str, Name], list[Measure]] = {}
    for pair in pairs:
        for one in pair.measures:
            found.setdefault((pair.rules, one.name), []).append(one)
    return [across(rules, some, confidence) for (rules, _), some in found.items()]
