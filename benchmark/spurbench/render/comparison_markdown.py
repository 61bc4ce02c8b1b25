"""A comparison as Markdown, short enough for a comment: what it comes to first, details folded."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from ..comparison import MethodComparison, ResultsComparison
from ..marking import markdown
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

MOST = 60
"""Rows of a table; a comment on GitHub holds 65,536 characters."""


def to_markdown(found: MethodComparison | ResultsComparison) -> str:
    """The whole text; a table with too many rows says how many it leaves out."""
    if isinstance(found, MethodComparison):
        notes = [line for note in method_notes(found) for line in (markdown(note), "")]
        return "\n".join([f"**{markdown(method_summary(found))}**", "", *_open(method_tables(found)), *notes])
    lines = [f"**{_capital(markdown(results_summary(found)))}** ({markdown(results_heading(found))})", ""]
    lines += _open(rank_tables(found))
    for table in record_tables(found):
        summary = f"{_capital(markdown(table.caption))} ({_many(len(table.rows))})"
        lines += [f"<details><summary>{summary}</summary>", "", *_table(table), "</details>", ""]
    return "\n".join(lines)


def _open(tables: Iterable[Table]) -> list[str]:
    lines = []
    for table in tables:
        lines += [f"{_capital(markdown(table.caption))}:", "", *_table(table)]
    return lines


def _table(table: Table) -> list[str]:
    align = ["left" if place < table.words else "right" for place in range(len(table.headings))]
    body = [[markdown(cell) for cell in row] for row in table.rows[:MOST]]
    lines = [tabulate(body, [*map(markdown, table.headings)], "pipe", colalign=align, disable_numparse=True), ""]
    left = len(table.rows) - MOST
    return [*lines, f"... and {left} more: `spurbench compare` prints them all.", ""] if left > 0 else lines


def _many(rows: int) -> str:
    return f"{rows} row{'' if rows == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
