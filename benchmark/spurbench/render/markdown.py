"""leaderboard.md: readable on GitHub and in a terminal, the same bytes for the same records."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from ..board import Board, BoardRow
from ..marking import markdown as _text
from ..planted.board import PlantedBoard
from ..published import Published
from . import budget, columns_of, percent, ranked_by, with_deviation
from .planted import HOW, Table, summary, tables
from .published import HOW_PUBLISHED, published_tables

_MEANING = {
    "worst_group": "the configuration with the best worst-group accuracy on validation (uses group labels)",
    "worst_class": "the configuration with the best worst-class accuracy on validation (no group labels)",
    "average": "the configuration with the best accuracy on validation (no group labels)",
}
HOW_TO_READ = """\
How to read it:

- **WGA**: worst-group accuracy on test, mean ± sample deviation over seeds; the interval is Student's t over seeds
  (95 % unless the rules say otherwise). A method whose seeds all agree has neither. Both are silent about how few test
  examples the worst group has.
- **acc_test** is the share of test examples that are right; **acc_train_weighted** weights group accuracies by
  the groups' shares of the training split (the "adjusted average"). Papers mix the two. **gap** = acc_test - WGA.
- **supervision**: what the method was given beyond class labels; what it does not declare it cannot reach.
- **configs**: configurations tried per seed, the paper's own first where it has one; fewer than the budget where a
  method has no more. Selection is redone for each seed, and so is every stage of a method with two.
- Methods without a rank lack seeds (n/N). **tier** self-reported: nobody else has run it yet.
"""


HOW_EASY_HARD = """\
- **easy**, **hard**: accuracy before easy and before hard backgrounds, averaged over classes that count the same;
  **drop** = easy - hard. **per image**: the same three, averaged over images. **drop interval**: how far
  another draw of test photos might take it (binomial). **negative**: classes whose hard photos are the easier ones.
"""
MOST_ACROSS, MOST_DOWN, BEST = 24, 240, 3
"""Groups that a table has as columns, and as rows (of the best methods alone); beyond that they are left to JSON."""


def to_markdown(board: Board, planted: PlantedBoard | None = None, published: Sequence[Published] = ()) -> str:
    """The whole document; the section "Discovery" where there are planted records, and one for published numbers."""
    lines = ["# Leaderboard", "", *_summary(board), ""]
    lines += [f"Selected by `{board.selection}`: {_MEANING[board.selection]}.", ""]
    for (rules, dataset, backbone), rows in board.tables():
        lines += [f"## {_text(dataset)} · {_text(backbone)} · rules {_text(rules)}", ""]
        lines += [f"Budget of every method: {_text(budget(rows))}{ranked_by(rows)}.", "", _table(rows), ""]
        lines += _groups(rows)
        lines += [f"- {_text(row.method)} failed: {_text(row.failure)}" for row in rows if row.failure]
        lines += [""] if any(row.failure for row in rows) else []
    if planted is not None and planted.tried:
        lines += _discovery(planted)
    lines += _published(published, board)
    shown = any(row.easy_hard is not None for row in board.rows)
    lines += [HOW_TO_READ + HOW_EASY_HARD if shown else HOW_TO_READ]
    return "\n".join(lines)


def _discovery(planted: PlantedBoard) -> list[str]:
    lines = ["## Discovery", "", f"{summary(planted)}.", "", HOW, ""]
    for table in tables(planted):
        lines += [f"**{_text(table.caption)}**", "", _text_table(table), ""]
    return lines


def _published(values: Sequence[Published], board: Board) -> list[str]:
    lines = []
    for dataset in dict.fromkeys(value.dataset for value in values):
        lines += [f"## {_text(dataset)}, as published", "", HOW_PUBLISHED, ""]
        for table in published_tables([value for value in values if value.dataset == dataset], board):
            lines += [f"<details><summary>{_text(table.text.caption)}</summary>", "", _text_table(table.text), ""]
            lines += [*(f"- {_text(line)}" for line in table.below), "", "</details>", ""]
    return lines


def _text_table(table: Table) -> str:
    align = ["left" if place < table.words else "right" for place in range(len(table.headings))]
    body = [[_text(cell) for cell in row] for row in table.rows]
    headings = [_text(heading) for heading in table.headings]
    return tabulate(body, headings, "pipe", colalign=align, disable_numparse=True)


def _summary(board: Board) -> list[str]:
    """The best of each table in a line: what a hurried reader takes away."""
    if not board.rows:
        return ["No records yet: `spurbench run` makes them."]
    lines = []
    for (_, dataset, backbone), rows in board.tables():
        ranked = [row for row in rows if row.rank is not None]
        if not ranked:
            lines.append(f"- {_text(dataset)}, {_text(backbone)}: nothing complete yet")
            continue
        measure = "class-averaged accuracy on hard photos" if ranked_by(rows) else "worst-group accuracy"
        text = f"best {_leaders(ranked)} % {measure}"
        unsupervised = [row for row in ranked if row.supervision == "none"]
        if unsupervised and len(unsupervised) < len(ranked):
            text += f"; best of the methods given neither group labels nor attribute text: {_leaders(unsupervised)} %"
        lines.append(f"- {_text(dataset)}, {_text(backbone)}: {text}")
    return lines


def _leaders(ranked: list[BoardRow]) -> str:
    """The best of some ranked rows, all of them if several share the place."""
    first = [row for row in ranked if row.rank == ranked[0].rank]
    return f"{' and '.join(f'**{_text(row.method)}**' for row in first)} with {with_deviation(ranked[0].score)}"


def _table(rows: list[BoardRow]) -> str:
    columns = columns_of(rows)
    body = [[_text(column.cell(row)) for column in columns] for row in rows]
    align = ["right" if column.numeric else "left" for column in columns]
    return tabulate(body, [_text(c.title) for c in columns], "pipe", colalign=align, disable_numparse=True)


def _groups(rows: list[BoardRow]) -> list[str]:
    """Accuracies per group: methods down and groups across, or the other way round where there are many groups."""
    names = list(dict.fromkeys(group.group for row in rows for group in row.groups))
    if len(names) > MOST_DOWN:
        text = f"{len(names)} groups: `spurbench leaderboard --format json` has the accuracy of each."
        return [text, ""]
    title = "Accuracy per group (test, all seeds together)"
    if len(names) <= MOST_ACROSS:
        body = [[_text(row.method), *_cells(row, names)] for row in rows]
        headings = ["method", *map(_text, names)]
    else:
        best = [row for row in rows if row.groups][:BEST]
        title += "; of the best methods" if len(best) < len(rows) else ""
        columns = [_cells(row, names) for row in best]
        body = [[_text(name), *cells] for name, *cells in zip(names, *columns, strict=True)]
        headings = ["group", *(_text(row.method) for row in best)]
    align = ["left", *["right"] * (len(headings) - 1)]
    table = tabulate(body, headings, "pipe", colalign=align, disable_numparse=True)
    return [f"<details><summary>{title}</summary>", "", table, "", "</details>", ""]


def _cells(row: BoardRow, names: list[str]) -> list[str]:
    known = {group.group: f"{percent(group.accuracy)} ({group.correct}/{group.total})" for group in row.groups}
    return [known.get(name, "-") for name in names]
