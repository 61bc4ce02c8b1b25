"""Who ranks where, in two sets of results: only what records say anew changes it, not who else came or went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..board import TRACKS, ArraysOf, BoardRow, Track, make_rows
from ..record import Record
from ..rules import Selection
from .reading import Results

Cell: TypeAlias = "tuple[str, str, str, str]"
"""(rules, data set, backbone, method); for planted settings "planted", data set, backbone, model."""
Table: TypeAlias = "Mapping[str, Record]"
"""The records of one (rules, data set, backbone) by method."""


@dataclass(frozen=True)
class RankChange:
    """A method's rank in one track of one table.

    Ranks of a method that both sets rank are among those methods alone. One that only one of them ranks has, in that
    one, its rank among all, and None in the other.
    """

    rules: str
    dataset: str
    backbone: str
    track: str
    method: str
    a: int | None
    b: int | None

    @property
    def where(self) -> tuple[str, str, str]:
        """Its table."""
        return self.rules, self.dataset, self.backbone


@dataclass(frozen=True)
class BestChange:
    """The lead of one track of one table, among the methods that both sets rank there.

    Attributes:
        a, b: the first; all of them where several share the place.
        tied_a, tied_b: what the data do not tell from the first, where both sets have predictions to tell by.
    """

    rules: str
    dataset: str
    backbone: str
    track: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    tied_a: tuple[str, ...]
    tied_b: tuple[str, ...]

    @property
    def where(self) -> tuple[str, str, str]:
        """Its table."""
        return self.rules, self.dataset, self.backbone


def rank_changes(
    a: Results, b: Results, changed: Collection[Cell], selection: Selection
) -> tuple[list[RankChange], list[BestChange]]:
    """What is ranked otherwise in the tables that both sets have; `changed` are the records that differ."""
    ours, theirs = _tables(a.records), _tables(b.records)
    ranks: list[RankChange] = []
    bests: list[BestChange] = []
    for where in sorted(ours.keys() & theirs.keys()):
        old, new = ours[where], theirs[where]
        every = _rows(old.values(), selection), _rows(new.values(), selection)
        for track in TRACKS:
            one, other = (_ranked(rows, track) for rows in every)
            both = one.keys() & other.keys()
            if any((*where, method) in changed for method in both):
                rows = [
                    _ranked(_rows((table[method] for method in both), selection, some.arrays_of), track)
                    for table, some in ((old, a), (new, b))
                ]
                found = ((row.method, rows[0][row.method].rank, row.rank) for row in rows[1].values())
                ranks += [RankChange(*where, track, *change) for change in found if change[1] != change[2]]
                first, tied = (_first(rows[0]), _first(rows[1])), _tied(rows[0], rows[1])
                best = BestChange(*where, track, *first, *tied)
                bests += [best] if (best.a, best.tied_a) != (best.b, best.tied_b) else []
            # What is not there any more is told as a record; only a rank that a record lost is told here.
            came = [(method, None, row.rank) for method, row in other.items() if method not in both]
            lost = [(method, row.rank, None) for method, row in one.items() if method not in both and method in new]
            ranks += [RankChange(*where, track, *change) for change in (*came, *lost)]
    return ranks, bests


def _tables(records: Iterable[Record]) -> dict[tuple[str, str, str], dict[str, Record]]:
    tables: dict[tuple[str, str, str], dict[str, Record]] = {}
    for record in records:
        tables.setdefault((record.rules, record.dataset, record.backbone), {})[record.method] = record
    return tables


def _rows(records: Iterable[Record], selection: Selection, arrays_of: ArraysOf = lambda _: None) -> list[BoardRow]:
    return make_rows(sorted(records, key=lambda record: record.method), selection, arrays_of)


def _ranked(rows: Iterable[BoardRow], track: Track) -> dict[str, BoardRow]:
    """The rows of a track that have a rank, best first."""
    return {row.method: row for row in rows if row.track == track and row.rank is not None}


def _first(rows: Mapping[str, BoardRow]) -> tuple[str, ...]:
    return tuple(sorted(row.method for row in rows.values() if row.rank == 1))


def _tied(a: Mapping[str, BoardRow], b: Mapping[str, BoardRow]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of each, those told as equal to its first; a method that one of them could not test is in neither."""
    tested = {
        method
        for method in a.keys() & b.keys()
        if all(rows[method].rank == 1 or rows[method].standing is not None for rows in (a, b))
    }
    one, other = (
        tuple(sorted(method for method in tested if rows[method].leads and rows[method].rank != 1)) for rows in (a, b)
    )
    return one, other
