"""A board as text: Markdown, JSON, CSV, and a table for the terminal. Each column is data, shared by all of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..board import Board, BoardRow, EasyHardCell
from ..errors import inert, plain
from ..stats import Estimate


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a row's cell reads, and whether a narrow terminal, or any, can do without it."""

    title: str
    cell: Callable[[BoardRow], str]
    numeric: bool = True
    wide_only: bool = False
    document_only: bool = False


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share as a percentage with one decimal."""
    if value is None:
        return "-"
    return f"{100 * value:{'+' if signed else ''}.1f}"


def with_deviation(value: Estimate | None) -> str:
    """Mean and sample deviation over seeds, in percent; no deviation where seeds do not differ at all."""
    if value is None:
        return "-"
    return percent(value.mean) + (f" ± {percent(value.std)}" if value.std else "")


def interval(value: Estimate | None) -> str:
    """The interval of the mean over seeds, in percent."""
    if value is None or value.low is None or value.high is None or not value.std:
        return "-"
    return f"{percent(value.low)} to {percent(value.high)}"


def _mean(value: Estimate | None) -> str:
    return percent(None if value is None else value.mean)


def _worst(row: BoardRow) -> str:
    return min(row.groups, key=lambda group: group.accuracy).group if row.groups else "-"


def _seeds(row: BoardRow) -> str:
    return str(row.seeds) if row.status == "complete" else f"{row.seeds}/{row.seeds_expected}"


def _of_easy_hard(cell: Callable[[EasyHardCell], str]) -> Callable[[BoardRow], str]:
    return lambda row: "-" if row.easy_hard is None else cell(row.easy_hard)


COLUMNS: tuple[Column, ...] = (
    Column("#", lambda row: "-" if row.rank is None else str(row.rank)),
    Column("method", lambda row: row.method, numeric=False),
    Column("supervision", lambda row: row.supervision, numeric=False),
    Column("WGA", lambda row: with_deviation(row.wga)),
    Column("interval", lambda row: interval(row.wga), wide_only=True),
    Column("acc_test", lambda row: _mean(row.acc_test)),
    Column("acc_train_weighted", lambda row: _mean(row.acc_train_weighted), wide_only=True),
    Column("balanced", lambda row: _mean(row.balanced), wide_only=True),
    Column("gap", lambda row: _mean(row.gap), wide_only=True),
    Column("worst group", _worst, numeric=False, wide_only=True),
    Column("seeds", _seeds),
    Column("configs", lambda row: str(row.n_configs), wide_only=True),
    Column("tier", lambda row: row.tier, numeric=False, wide_only=True),
)


EASY_HARD: tuple[Column, ...] = (
    Column("easy", _of_easy_hard(lambda cell: _mean(cell.easy))),
    Column("hard", _of_easy_hard(lambda cell: _mean(cell.hard))),
    Column("drop", _of_easy_hard(lambda cell: _mean(cell.drop))),
    Column(
        "drop interval",
        _of_easy_hard(lambda cell: f"{percent(cell.drop_low)} to {percent(cell.drop_high)}"),
        wide_only=True,
    ),
    Column("hard over seeds", _of_easy_hard(lambda cell: with_deviation(cell.hard)), document_only=True),
    Column("negative", _of_easy_hard(lambda cell: f"{cell.negative:.3g}/{cell.classes}"), wide_only=True),
    Column(
        "per image",
        _of_easy_hard(lambda c: " / ".join(map(_mean, (c.easy_images, c.hard_images, c.drop_images)))),
        document_only=True,
    ),
)
"""Stand first where the data set's attribute is easy and hard; of the others, terminals then have room for a few."""
OTHERS = ("WGA", "seeds")


def columns_of(rows: Sequence[BoardRow]) -> tuple[Column, ...]:
    """The columns of one table."""
    if all(row.easy_hard is None for row in rows):
        return COLUMNS
    first = next(place for place, column in enumerate(COLUMNS) if column.title == "WGA")
    others = (
        replace(column, document_only=column.title not in OTHERS, wide_only=column.title != "WGA")
        for column in COLUMNS[first:]
    )
    return (*COLUMNS[:first], *EASY_HARD, *others)


def ranked_by(rows: Sequence[BoardRow]) -> str:
    """What to add to a table's caption where ranks are not by worst-group accuracy."""
    by_hard = any(row.ranked_by == "hard" for row in rows)
    return "; ranked by class-averaged accuracy on hard photos" if by_hard else ""


def budget(rows: Sequence[BoardRow]) -> str:
    """What every method of a table may try; tracks with budgets of their own are told apart."""
    budgets = dict.fromkeys(row.budget for row in rows)
    if len(budgets) == 1:
        return next(iter(budgets))
    return "; ".join(f"{', '.join(row.method for row in rows if row.budget == text)}: {text}" for text in budgets)


def to_json(board: Board) -> str:
    """Every row with every number, unrounded."""
    return json.dumps(board.to_dicts(), indent=1, ensure_ascii=False) + "\n"


def to_csv(board: Board) -> str:
    """One line per row; estimates spread over four columns, groups over one each as correct/total."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    simple: tuple[str, ...]
    simple = ("rules", "dataset", "backbone", "rank", "method", "supervision", "selection", "prompts", "seeds")
    simple += ("seeds_expected", "n_configs", "budget", "n_candidates", "seconds", "tier", "status", "failure")
    measures = ("wga", "acc_test", "acc_train_weighted", "balanced", "gap")
    own = ("easy", "hard", "drop", "easy_images", "hard_images", "drop_images")
    parts = ("mean", "std", "low", "high")
    writer.writerow([*simple, *(f"{m}_{p}" for m in (*measures, *own) for p in parts), "groups"])
    for row in board.to_dicts():
        estimates = row | (row["easy_hard"] or {})
        numbers = [(estimates.get(m) or {}).get(p) for m in (*measures, *own) for p in parts]
        groups = "; ".join(f"{group['group']} {group['correct']}/{group['total']}" for group in row["groups"])
        writer.writerow([*(_inert(row[name]) for name in simple), *numbers, _inert(groups)])
    return out.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would run as a formula is quoted: names come from anywhere."""
    return inert(plain(value)) if isinstance(value, str) else value
