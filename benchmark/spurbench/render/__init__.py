"""A board as text: Markdown, LaTeX, and a table for the terminal. Each column is data, shared by what reads alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..board import BoardRow, EasyHardCell, Track
from ..stats import Estimate, WorstGroup


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a row's cell reads, and whether a narrow terminal, or any, can do without it.

    `detail` ones stand in a table of their own below, which is folded away, and in no terminal.
    """

    title: str
    cell: Callable[[BoardRow], str]
    numeric: bool = True
    wide_only: bool = False
    document_only: bool = False
    detail: bool = False


def percent(value: float | None, *, signed: bool = False) -> str:
    """A share as a percentage with one decimal."""
    if value is None:
        return "-"
    text = f"{100 * value:{'+' if signed else ''}.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0") if float(text) == 0 else text


def with_deviation(value: Estimate | None) -> str:
    """Mean and sample deviation over seeds, in percent; no deviation where seeds do not differ at all."""
    if value is None:
        return "-"
    return percent(value.mean) + (f" ± {percent(value.std)}" if varies(value) else "")


def varies(value: Estimate) -> bool:
    """Whether seeds differ by more than rounding."""
    return value.std is not None and value.std > ROUNDING


def interval(value: Estimate | WorstGroup | None) -> str:
    """The bounds of an interval, in percent; "-" where nothing varies that it could be about."""
    if value is None or value.low is None or value.high is None:
        return "-"
    if isinstance(value, Estimate) and not varies(value):
        return "-"
    return f"{percent(value.low)} to {percent(value.high)}"


def place(row: BoardRow) -> str:
    """Rank in the track; marked where the data do not tell it from the best."""
    if row.rank is None:
        return "-"
    return f"{TIED} {row.rank}" if row.standing is not None and row.standing.tied else str(row.rank)


def to_the_best(row: BoardRow) -> str:
    """What it is behind the best of its track, in points, with the interval of the paired comparison."""
    if row.standing is None:
        return "-"
    found = row.standing.difference
    return f"{percent(found.difference, signed=True)} ({percent(found.low)} to {percent(found.high)})"


def count(value: int | None) -> str:
    """A large number in three digits: 258, 33.0 k, 856 k, 1.2 M."""
    if value is None:
        return "-"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds in three digits at most."""
    return "-" if seconds is None else f"{seconds:.1f}" if seconds < 100 else f"{seconds:.0f}"


def _mean(value: Estimate | None) -> str:
    return percent(None if value is None else value.mean)


def _worst(row: BoardRow) -> str:
    return min(row.groups, key=lambda group: group.accuracy).group if row.groups else "-"


def _seeds(row: BoardRow) -> str:
    return str(row.seeds) if row.status == "complete" else f"{row.seeds}/{row.seeds_expected}"


def _of_easy_hard(cell: Callable[[EasyHardCell], str]) -> Callable[[BoardRow], str]:
    return lambda row: "-" if row.easy_hard is None else cell(row.easy_hard)


ROUNDING = 1e-12
TIED = "≈"
"""Marks a method that the data do not tell from the best of its track."""
COLUMNS: tuple[Column, ...] = (
    Column("#", place),
    Column("method", lambda row: row.method, numeric=False),
    Column("WGA", lambda row: with_deviation(row.wga)),
    Column("interval", lambda row: interval(row.worst)),
    Column("to the best", to_the_best, wide_only=True),
    Column("acc_test", lambda row: _mean(row.acc_test)),
    Column("gap", lambda row: _mean(row.gap), wide_only=True),
    Column("worst group", _worst, numeric=False, wide_only=True),
    Column("supervision", lambda row: row.supervision, numeric=False, wide_only=True),
    Column("seeds", _seeds),
    Column("acc_train_weighted", lambda row: _mean(row.acc_train_weighted), detail=True),
    Column("balanced", lambda row: _mean(row.balanced), detail=True),
    Column("over seeds", lambda row: interval(row.wga), detail=True),
    Column("bias", lambda row: percent(row.worst.bias, signed=True) if row.worst else "-", detail=True),
    Column("ECE", lambda row: _mean(row.calibration_error), detail=True),
    Column("AUROC", lambda row: _mean(row.auroc), detail=True),
    Column("configs", lambda row: str(row.n_configs), detail=True),
    Column("budget", lambda row: row.budget.replace(" configurations", ""), detail=True),
    Column("parameters", lambda row: count(row.parameters), detail=True),
    Column("s / seed", lambda row: duration(row.seconds_per_seed), detail=True),
    Column("memory", lambda row: "-" if row.peak_memory is None else f"{count(row.peak_memory)}B", detail=True),
    Column("tier", lambda row: row.tier, numeric=False, detail=True),
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


def columns_of(rows: Sequence[BoardRow], *, detail: bool = False) -> tuple[Column, ...]:
    """The columns of one table, or of the one with what is left."""
    chosen = tuple(column for column in COLUMNS if column.detail == detail)
    if detail:
        return (COLUMNS[1], *chosen)
    if all(row.easy_hard is None for row in rows):
        return chosen
    first = next(place for place, column in enumerate(chosen) if column.title == "WGA")
    others = (
        replace(column, document_only=column.title not in OTHERS, wide_only=column.title != "WGA")
        for column in chosen[first:]
    )
    return (*chosen[:first], *EASY_HARD, *others)


TOLD: Mapping[Track, str] = MappingProxyType(
    {
        "none": "told nothing of the attribute",
        "attribute text": "told the attribute's names",
        "val groups": "told the groups of validation photos",
        "train groups": "told the groups of training photos",
    }
)
"""Tracks in words."""


def detectable(rows: Sequence[BoardRow]) -> str:
    """How large a difference to the best of a track must be to be found; "" where nothing was compared."""
    found = [row.standing.difference.detectable for row in rows if row.standing is not None]
    if not found:
        return ""
    low, high = percent(min(found)), percent(max(found))
    points = low if low == high else f"{low} to {high}"
    return f"a true difference to the best of {points} points would be found about three times out of four"


def ranked_by(rows: Sequence[BoardRow]) -> str:
    """What to add to a table's caption where ranks are not by worst-group accuracy."""
    by_hard = any(row.ranked_by == "hard" for row in rows)
    return "; ranked by class-averaged accuracy on hard photos" if by_hard else ""


def budgets(rows: Sequence[BoardRow]) -> str:
    """What methods of a table may try; each kind of method has a budget of its own."""
    return " or ".join(dict.fromkeys(row.budget for row in rows))
