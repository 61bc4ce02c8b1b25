"""leaderboard.md: readable on GitHub and in a terminal, the same bytes for the same records."""

from __future__ import annotations

import re

from tabulate import tabulate

from ..board import Board, BoardRow
from ..errors import plain
from ..planted.board import PlantedBoard
from . import COLUMNS, budget, percent, with_deviation
from .planted import HOW, summary, tables

# Underscores inside a word are plain text in GitHub's Markdown; escaping them would only hurt reading it as text.
_SPECIAL = re.compile(r"([\\`*{}\[\]<>|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
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


def to_markdown(board: Board, planted: PlantedBoard | None = None) -> str:
    """The whole document; the section "Discovery" where there are planted records."""
    lines = ["# Leaderboard", "", *_summary(board), ""]
    lines += [f"Selected by `{board.selection}`: {_MEANING[board.selection]}.", ""]
    for (rules, dataset, backbone), rows in board.tables():
        lines += [f"## {_text(dataset)} · {_text(backbone)} · rules {_text(rules)}", ""]
        lines += [f"Budget of every method: {_text(budget(rows))}.", "", _table(rows), ""]
        lines += ["<details><summary>Accuracy per group (test, all seeds together)</summary>", "", _group_table(rows)]
        lines += ["", "</details>", ""]
        lines += [f"- {_text(row.method)} failed: {_text(row.failure)}" for row in rows if row.failure]
        lines += [""] if any(row.failure for row in rows) else []
    if planted is not None and planted.tried:
        lines += _discovery(planted)
    lines += [HOW_TO_READ]
    return "\n".join(lines)


def _discovery(planted: PlantedBoard) -> list[str]:
    lines = ["## Discovery", "", f"{summary(planted)}.", "", HOW, ""]
    for table in tables(planted):
        align = ["left" if place < table.words else "right" for place in range(len(table.headings))]
        body = [[_text(cell) for cell in row] for row in table.rows]
        lines += [f"**{_text(table.caption)}**", ""]
        headings = [_text(heading) for heading in table.headings]
        lines += [tabulate(body, headings, "pipe", colalign=align, disable_numparse=True), ""]
    return lines


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
        text = f"best {_leaders(ranked)} % worst-group accuracy"
        unsupervised = [row for row in ranked if row.supervision == "none"]
        if unsupervised and len(unsupervised) < len(ranked):
            text += f"; best of the methods given neither group labels nor attribute text: {_leaders(unsupervised)} %"
        lines.append(f"- {_text(dataset)}, {_text(backbone)}: {text}")
    return lines


def _leaders(ranked: list[BoardRow]) -> str:
    """The best of some ranked rows, all of them if several share the place."""
    first = [row for row in ranked if row.rank == ranked[0].rank]
    return f"{' and '.join(f'**{_text(row.method)}**' for row in first)} with {with_deviation(ranked[0].wga)}"


def _table(rows: list[BoardRow]) -> str:
    body = [[_text(column.cell(row)) for column in COLUMNS] for row in rows]
    align = ["right" if column.numeric else "left" for column in COLUMNS]
    return tabulate(body, [_text(c.title) for c in COLUMNS], "pipe", colalign=align, disable_numparse=True)


def _group_table(rows: list[BoardRow]) -> str:
    names = next(([group.group for group in row.groups] for row in rows if row.groups), [])
    body = []
    for row in rows:
        cells = [f"{percent(group.accuracy)} ({group.correct}/{group.total})" for group in row.groups]
        body.append([_text(row.method), *(cells or ["-"] * len(names))])
    align = ["left", *["right"] * len(names)]
    return tabulate(body, ["method", *map(_text, names)], "pipe", colalign=align, disable_numparse=True)


def _text(value: str) -> str:
    """Names and messages come from anywhere: nothing in them is Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(plain(value).split())).replace("\\<", "&lt;").replace("\\>", "&gt;")
