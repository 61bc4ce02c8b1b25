"""A comparison as rich tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ..comparison import MethodComparison, ResultsComparison
from ..errors import plain
from .comparison import (
    method_notes,
    method_summary,
    method_tables,
    rank_tables,
    record_tables,
    results_heading,
    results_summary,
)
from .planted import Table

WIDEST = 10_000
"""Columns of a terminal in which every record fits a line."""


def print_comparison(found: MethodComparison | ResultsComparison, console: Console) -> None:
    """Print every table, and below them, where it stays in sight, what it comes to."""
    if isinstance(found, MethodComparison):
        tables, summary = list(method_tables(found)), [*method_notes(found), method_summary(found)]
    else:
        tables = [*record_tables(found), *rank_tables(found)]
        summary = [results_heading(found), results_summary(found)]
    for made in tables:
        table = _table(made)
        fits = console.measure(table, options=console.options.update(width=WIDEST)).maximum <= console.width
        console.print(table if fits else _table(made, broken=True))
    for line in summary:
        console.print(plain(line), markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _table(made: Table, *, broken: bool = False) -> RichTable:
    """The table; `broken` with a line for each part of a record's name, and a rule between records."""
    table = RichTable(title=Text(plain(made.caption), "bold"), title_justify="left", show_lines=broken)
    for place, heading in enumerate(made.headings):
        word = place < made.words
        table.add_column(Text(heading), justify="left" if word else "right", overflow="fold", no_wrap=not word)
    for row in made.rows:
        first, *others = (plain(cell) for cell in row)
        table.add_row(Text(first.replace(" · ", "\n") if broken else first), *map(Text, others))
    return table
