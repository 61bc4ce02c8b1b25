"""Suspects in the terminal, at 80 columns: a line for each word and the class that it says most of."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..findings.words import p_value, percent, shown
from ..suspects import sentences
from ..suspects.report import ClassRow, Suspect, SuspectsReport
from . import percent as points

MOST_CLASSES = 2
"""Classes of a suspect; the report has all."""
NATS = "nats: what knowing whether a photo shows the word tells of whether the model is right, its class being known."


def print_suspects(report: SuspectsReport, console: Console, top: int) -> None:
    """Print what was looked at, the first `top` of the words that survive, and how to read it."""
    console.print(Text(f"{shown(report.title)} ({shown(report.dataset)})", "bold"))
    _say(console, _setting(report))
    if not report.n_suspects_below_level:
        _say(console, f"\n{sentences.nothing(report)}")
        return
    console.print(_table(report, top))
    for line in (sentences.HOW_TO_READ, NATS, sentences.P_VALUE, sentences.PLACEBO, sentences.directions(report)):
        _say(console, line)
    _say(console, sentences.handed_on(report))


def _setting(report: SuspectsReport) -> str:
    """What was looked at, by whom, for which words."""
    left_out = [
        f"{len(some):,} {why}"
        for some, why in ((report.excluded, "naming a class"), (report.indistinct, "unknown to it"))
        if some
    ]
    counted = f"{report.words.n:,} words" + (f" ({', '.join(left_out)}: left out)" if left_out else "")
    return (
        f"{shown(report.backbone)}, {shown(report.model)}; {report.right.total:,} {report.split} photos, "
        f"{percent(report.right.share)} right\n{counted} seen by {shown(report.seen_by)}; "
        f"{report.permutations:,} permutations"
    )


def _table(report: SuspectsReport, top: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_justify="left")
    table.add_column("word", overflow="fold", min_width=8)
    table.add_column("class", overflow="fold", min_width=8)
    for heading in ("with", "n", "without", "n", "gap", "nats", "p", "placebo"):
        table.add_column(heading, justify="right", no_wrap=True)
    surviving = report.survivors[:top]
    for suspect in surviving:
        word, about = (
            shown(suspect.word),
            (f"{suspect.information:.3f}", *map(p_value, (suspect.p_value, suspect.placebo))),
        )
        for row in _telling(suspect, report.level):
            table.add_row(*map(Text, (word, *_cells(row), *about)))
            word, about = "", ("", "", "")
    more = report.n_suspects_below_level - len(surviving)
    if more:
        table.caption = Text(f"and {more:,} more words with p up to {report.level:g}")
    return table


def _telling(suspect: Suspect, level: float) -> list[ClassRow]:
    """The class that the word says most of, and others of which what it says is more than chance."""
    first = sentences.telling(suspect)
    rows = [row for row in suspect.by_information if row is first or row.p_value <= level]
    return sorted(rows, key=lambda row: row is not first)[:MOST_CLASSES]


def _cells(row: ClassRow) -> tuple[str, ...]:
    sides = [cell for tally in (row.present, row.absent) for cell in (percent(tally.share), f"{tally.total:,}")]
    return (shown(row.label), *sides, points(row.gap, signed=True))


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
