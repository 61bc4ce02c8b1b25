"""The section "Where the models look" of one table of the board: what maps say beside worst-group accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..board import AttentionCell, BoardRow
from ..stats import Interval
from . import attention_words as words
from . import percent, ranked_by, with_deviation
from .attention_words import MEASURES, Seen
from .planted import Table

TITLE = "Where the models look"
HOW = """\
- **AIoU**, **pointing**, **energy**: where activation maps of test photos lie, means over photos and seeds with an
  interval over both, groups counting the same. Energy is the share of the map of a photo's own class that lies in the
  object; pointing, how often its highest value does; AIoU = IoU / (IoU + IoU of the map of the class it is most
  confused with), averaged over thresholds. 50 is what a map gets that is the same for both classes; it is no chance
  level (two independent random maps of 4 x 4 cells get 45 on `menagerie-birds`). The last rows are maps that know
  nothing of the photo: objects often lie in the middle, so that a blob there points well. The accuracy beside the
  numbers is over the seeds whose models were looked into.
"""
EVERYWHERE = "a map that is the same everywhere"
BLOB = "a blob in the middle"
MOST_GROUPS = 24
"""Groups that stand in a table; more are left to exports."""


@dataclass(frozen=True)
class Looks:
    """What was measured alike, as text.

    Attributes:
        table: means over groups.
        by_group: one table for each measure; none where there are more than `MOST_GROUPS`.
        lines: what stands below the first table.
    """

    table: Table
    by_group: tuple[Table, ...]
    lines: tuple[str, ...]


def looks(rows: Sequence[BoardRow]) -> tuple[Looks, ...]:
    """The section of some rows of one table, in their order; empty where none has attention.

    Only numbers that were measured alike stand in one table, and that of the most rows comes first.
    """
    ways: dict[tuple[object, ...], list[Seen]] = {}
    for row in rows:
        if row.attention is not None:
            one = Seen(row, row.attention)
            ways.setdefault(tuple(one.how.values()), []).append(one)
    score = "hard" if ranked_by(rows) else "WGA"
    found: list[Looks] = []
    first: Seen | None = None
    for seen in sorted(ways.values(), key=len, reverse=True):
        lines = words.lines(seen, score, BLOB, first)
        first = first or seen[0]
        groups = sum(map(bool, seen[0].cell.photos))
        if groups > MOST_GROUPS:
            lines.append(f"{groups} groups: spurbench export --what groups has the numbers of each.")
        found.append(Looks(_table(seen, score, again=bool(found)), _by_group(seen), tuple(lines)))
    return tuple(found)


def _table(seen: Sequence[Seen], score: str, *, again: bool) -> Table:
    cell = seen[0].cell
    body = [
        (
            each.row.method,
            with_deviation(each.row.looked),
            *(_cell(of(each.cell).balanced) for of in MEASURES.values()),
        )
        for each in seen
    ]
    groups = [group for group, photos in enumerate(cell.photos) if photos]
    blind = [
        (name, "-", *(percent(fmean(column)) for column in zip(*(numbers[group] for group in groups), strict=True)))
        for name, numbers in _blind(cell).items()
    ]
    caption = f"{TITLE}, measured otherwise" if again else TITLE
    return Table(caption, ("method", score, *MEASURES), (*body, *blind))


def _by_group(seen: Sequence[Seen]) -> tuple[Table, ...]:
    cell = seen[0].cell
    names = {group.number: group.group for row in (each.row for each in seen) for group in row.groups}
    groups = [group for group, photos in enumerate(cell.photos) if photos]
    if len(groups) > MOST_GROUPS:
        return ()
    found = []
    for place, (name, of) in enumerate(MEASURES.items()):
        body = [(each.row.method, *(_cell(of(each.cell).groups[group]) for group in groups)) for each in seen]
        blind = [
            (name, *(percent(numbers[group][place]) for group in groups)) for name, numbers in _blind(cell).items()
        ]
        found.append(Table(f"{name} per group", ("method", *(names[group] for group in groups)), (*body, *blind)))
    return tuple(found)


def _blind(cell: AttentionCell) -> dict[str, list[tuple[float, ...]]]:
    """What maps get that know nothing, by name: for each group, each of `MEASURES`."""
    return {
        # The same for any class, and a point drawn at random.
        EVERYWHERE: [(0.5, area, area) for area in cell.area],
        BLOB: list(zip(*(cell.centre[name.lower()] for name in MEASURES), strict=True)),
    }


def _cell(value: Interval | None) -> str:
    return "-" if value is None else f"{percent(value.mean)} ({percent(value.low)} to {percent(value.high)})"
