"""Records -> rows of one table, and rows -> `Board`. Order and numbers depend on the records' content alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..record import Record
from ..rules import Selection
from ..stats import Difference, Outcomes, tied_with_best, worst_group
from .across import rank_tracks
from .attention import attention_cell, looked_into
from .outcomes import Arrays, outcomes_of
from .row import leading, make_row, only_seeds
from .rows import Board, BoardRow, Standing
from .tracks import TRACKS

ArraysOf: TypeAlias = Callable[[Record], "Arrays | None"]
"""Where a record's predictions come from; None where they are not at hand."""


def make_board(
    records: Iterable[Record], selection: Selection = "worst_group", arrays_of: ArraysOf = lambda _: None
) -> Board:
    """The board of some records under one selection rule."""
    tables: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        tables.setdefault((record.rules, record.dataset, record.backbone), []).append(record)
    rows = [row for where in sorted(tables) for row in make_rows(tables[where], selection, arrays_of)]
    return Board(selection, tuple(rows), rank_tracks(rows))


def make_rows(records: Sequence[Record], selection: Selection, arrays_of: ArraysOf) -> list[BoardRow]:
    """The rows of one table, track by track, best first.

    All methods of a table are shown over the same seeds: those that every complete one has, at least the budget's.
    """
    common = min((n for n in map(leading, records) if n), default=0)
    rows = []
    for record in records:
        row, right = make_row(record, selection, common), None
        # Not of other data, or of another backbone of that name: what was made before either changed.
        same = all(record.key_parts.get(part) == records[0].key_parts.get(part) for part in ("data", "backbone"))
        if same and row.status == "complete" and row.ranked_by == "wga":
            right = outcomes_of(record, selection, range(row.seeds), arrays_of(record))
        if right is not None:
            row = replace(row, worst=worst_group(right, record.confidence))
        if record.attention is not None:
            shown = common if row.status == "complete" else 1 + max((result.seed for result in record.done), default=0)
            row = _looked(row, record, selection, arrays_of(record), shown)
        rows.append((row, right))
    made = []
    for track in TRACKS:
        inside = sorted((pair for pair in rows if pair[0].track == track), key=lambda pair: _order(pair[0]))
        if inside:
            ranked = _ranked([row for row, _ in inside])
            made += _standing(ranked, [right for _, right in inside], records[0].confidence)
    return made


def _looked(row: BoardRow, record: Record, selection: Selection, arrays: Arrays | None, n_seeds: int) -> BoardRow:
    """With where its models look, if that is at hand, and what it is ranked by, over the same seeds."""
    cell = attention_cell(record, selection, arrays, n_seeds)
    if cell is None:
        return row
    seeds = looked_into(record, selection, n_seeds)
    same = row if len(seeds) == row.seeds else make_row(only_seeds(record, seeds), selection, n_seeds)
    return replace(row, attention=cell, looked=same.score)


def _order(row: BoardRow) -> tuple[bool, float, str]:
    return row.status != "complete", -(row.score.mean if row.score else -1.0), row.method


def _ranked(rows: list[BoardRow]) -> list[BoardRow]:
    # Means that are equal on paper may differ in their last digit.
    means = {
        row.method: round(row.score.mean, 12) for row in rows if row.score is not None and row.status == "complete"
    }
    ranks = {method: 1 + sum(other > mine for other in means.values()) for method, mine in means.items()}
    return [replace(row, rank=ranks.get(row.method)) for row in rows]


def _standing(rows: list[BoardRow], right: list[Outcomes | None], confidence: float) -> list[BoardRow]:
    """Compare every ranked row with the first; it takes predictions of the same examples and seeds of both."""
    known = [(place, some) for place, some in enumerate(right) if some is not None]
    if len(known) < 2 or known[0][0] != 0:
        return rows
    first = known[0][1]
    same = [
        (place, some)
        for place, some in known
        if some.right.shape == first.right.shape and np.array_equal(some.groups, first.groups)
    ]
    found = tied_with_best([some for _, some in same], confidence)
    done = list(rows)
    for (place, _), standing in zip(same, found, strict=True):
        if standing.difference is not None and standing.adjusted is not None and place:
            done[place] = replace(
                rows[place],
                standing=Standing(rows[0].method, _turned(standing.difference), standing.adjusted, standing.tied),
            )
    return done


def _turned(found: Difference) -> Difference:
    """b - a instead of a - b."""
    return replace(found, difference=-found.difference, low=-found.high, high=-found.low)
