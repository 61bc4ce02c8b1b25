"""The board as a rich table that fits the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..board import Board, BoardRow, by_track
from ..errors import plain
from ..planted.board import PlantedBoard
from . import TIED, Column, budgets, columns_of, detectable, ranked_by
from .attention import looks
from .planted import Table as TextTable
from .planted import summary, tables

WIDE = 140
LONG = 20
"""Characters beyond which a method's name is broken where its pins begin, so that there is room for the rest."""


def print_board(board: Board, console: Console) -> None:
    """Print every table; columns that a narrow terminal can do without appear from 140 characters on."""
    for (rules, dataset, backbone), rows in board.tables():
        fitting = (column for column in columns_of(rows) if not column.document_only)
        columns = [column for column in fitting if console.width >= WIDE or not column.wide_only]
        caption = f"rules {rules} ({budgets(rows)}), selected by {board.selection}{ranked_by(rows)}"
        if any(row.standing is not None for row in rows):
            caption += f"; {TIED}: not told from the best above it; {detectable(rows)}"
        console.print(_table(f"{dataset} · {backbone}", caption, columns, rows))
        for some in looks(rows):
            console.print(_of_text(some.table))
            for line in some.lines:
                console.print(plain(line), markup=False, highlight=False)


def print_planted(board: PlantedBoard, console: Console) -> None:
    """Print every table of the planted records."""
    console.print(summary(board), markup=False, highlight=False)
    for made in tables(board):
        console.print(_of_text(made))


def _of_text(made: TextTable) -> Table:
    table = Table(title=Text(plain(made.caption), "bold"), title_justify="left")
    for place, heading in enumerate(made.headings):
        table.add_column(Text(plain(heading)), justify="left" if place < made.words else "right", overflow="fold")
    for row in made.rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def _table(title: str, caption: str, columns: list[Column], rows: list[BoardRow]) -> Table:
    table = Table(title=Text(title, "bold"), caption=Text(caption), title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.numeric else "left",
            no_wrap=column.title != "method",
            overflow="fold",
        )
    method = next(at for at, column in enumerate(columns) if column.title == "method")
    for track, some in by_track(rows):
        heading = ["" for _ in columns]
        heading[method] = f"given {'nothing' if track == 'none' else track}:"
        table.add_row(*(Text(cell) for cell in heading), style="italic")
        for row in some:
            style = "bold" if row.leads else "dim" if row.rank is None else ""
            cells = (Text(_broken(plain(column.cell(row)), column)) for column in columns)
            table.add_row(*cells, style=style, end_section=row is some[-1])
    return table


def _broken(cell: str, column: Column) -> str:
    return cell.replace(":", "\n:") if column.title == "method" and len(cell) > LONG else cell
