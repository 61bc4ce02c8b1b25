"""The committed leaderboard: written from records, and checked against them."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from .board import Arrays, Board, BoardRow
from .board.kept import SELECTIONS, TableRows, kept_board, kept_tables
from .errors import DataError
from .files import default_cache, write_atomic
from .planted.board import PlantedBoard, make_planted_board
from .planted.record import PlantedRecord, read_all_planted
from .published import FOLDER, Published, published_folder, read_published
from .reading import kept_for_good, read_regular
from .record import Record, read_predictions, read_records, record_path
from .render.markdown import to_markdown
from .rules import Selection


@dataclass(frozen=True)
class Everything:
    """All that a results folder holds; `broken` has a message for each file that had to be left out.

    `published` are the numbers in the folder's own `published`; where it has none, those that come with the program, of
    data sets that have records.
    """

    results: Path
    tables: tuple[TableRows, ...]
    planted: tuple[PlantedRecord, ...]
    published: tuple[Published, ...] = ()
    broken: tuple[str, ...] = ()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The records that the board is made of; read when first asked for, which boards seldom do."""
        shown = {(*row.where, row.method) for row in self.rows()}
        with kept_for_good():
            return tuple(
                record
                for record in read_records(self.results, [])
                if (record.rules, record.dataset, record.backbone, record.method) in shown
            )

    def rows(self, selection: Selection = "worst_group") -> list[BoardRow]:
        """The rows of every table."""
        return [row for table in self.tables for row in table.rows[selection]]

    def within(self, places: Collection[tuple[str, str]]) -> Everything:
        """The tables of some (data set, backbone) alone."""

        def inside(table: TableRows) -> bool:
            return any((row.dataset, row.backbone) in places for row in table.rows["worst_group"])

        return replace(self, tables=tuple(filter(inside, self.tables)))

    def board(self, selection: Selection = "worst_group") -> Board:
        """The board under one selection rule."""
        return kept_board(self.rows(selection), selection, kept_folder())

    def boards(self) -> dict[Selection, Board]:
        """The board under every selection rule, the headline first."""
        return {rule: self.board(rule) for rule in SELECTIONS}

    def arrays(self, record: Record) -> Arrays:
        """A record's predictions. Raises DataError where they are not what the record says."""
        return read_predictions(
            record_path(self.results, record.rules, record.dataset, record.backbone, record.method), record
        )

    def planted_board(self) -> PlantedBoard:
        """The tables of the planted records."""
        return make_planted_board(self.planted)

    def document(self, selection: Selection = "worst_group") -> str:
        """The whole of leaderboard.md."""
        boards = self.boards()
        board = boards.pop(selection)
        return to_markdown(board, self.planted_board(), self.published, tuple(boards.values()))


def read_everything(results: Path, *, strict: bool = False) -> Everything:
    """All of a results folder.

    A file that cannot be trusted (`reading` says which those are; and a record whose predictions are missing or not its
    own) is left out, and told in `broken`; if strict, it raises DataError.
    """
    broken: list[str] = []
    with kept_for_good():
        tables = tuple(kept_tables(results, kept_folder(), broken))
        planted = tuple(read_all_planted(results, broken))
        published = read_published(published_folder(results), broken)
    if not (results / FOLDER).is_dir():
        studied = {row.dataset.partition(":labels=")[0] for table in tables for row in table.rows["worst_group"]}
        published = tuple(value for value in published if value.dataset in studied)
    if strict and broken:
        raise DataError(broken[0])
    return Everything(results, tables, planted, published, tuple(broken))


def kept_folder() -> Path:
    """Where tables are kept that were made once."""
    return default_cache() / "boards"


def leaderboard_path(results: Path) -> Path:
    """Where the leaderboard of a results folder stands: beside it."""
    return Path(os.path.abspath(results)).parent / "leaderboard.md"  # noqa: PTH100 - links stay as they are written


def write_leaderboard(results: Path, everything: Everything) -> Path:
    """Write leaderboard.md beside a results folder, and return its path."""
    path = leaderboard_path(results)
    write_atomic(path, everything.document().encode())
    return path


def difference(path: Path, expected: str) -> str:
    """A unified diff from the file to what it should be; empty where they are equal.

    Raises DataError for what is no file.
    """
    try:
        found = io.StringIO(read_regular(path).decode(errors="replace"), newline=None).read()
    except FileNotFoundError:
        found = ""
    lines = difflib.unified_diff(
        found.splitlines(keepends=True), expected.splitlines(keepends=True), str(path), "what the records say"
    )
    return "".join(lines)
