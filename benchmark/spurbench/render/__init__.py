"""A board as text: Markdown, JSON, CSV, and a table for the terminal. Each column is data, shared by all of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..board import Board, BoardRow
from ..errors import plain
from ..stats import Estimate


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a row's cell reads, and whether a narrow terminal can do without it."""

    title: str
    cell: Callable[[BoardRow], str]
    numeric: bool = True
    wide_only: bool = False


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
    known = [group for group in row.groups if group.accuracy is not None]
    return min(known, key=lambda group: group.accuracy or 0.0).group if known else "-"


def _seeds(row: BoardRow) -> str:
    return str(row.seeds) if row.status == "complete" else f"{row.seeds}/{row.seeds_expected}"


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
    parts = ("mean", "std", "low", "high")
    writer.writerow([*simple, *(f"{m}_{p}" for m in measures for p in parts), "groups"])
    for row in board.to_dicts():
        numbers = [(row[m] or {}).get(p) for m in measures for p in parts]
        groups = "; ".join(f"{group['group']} {group['correct']}/{group['total']}" for group in row["groups"])
        writer.writerow([*(_inert(row[name]) for name in simple), *numbers, _inert(groups)])
    return out.getvalue()


def _inert(value: object) -> object:
    """Text that a spreadsheet would run as a formula is quoted: names come from anywhere."""
    if not isinstance(value, str):
        return value
    value = plain(value)
    return f"'{value}" if value[:1] in tuple("=+-@\t\n") else value
