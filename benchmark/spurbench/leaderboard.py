"""The committed leaderboard: written from records, and checked against them."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from .board import make_board
from .files import write_atomic
from .planted.board import PlantedBoard, make_planted_board
from .planted.record import PlantedRecord, read_all_planted
from .published import FOLDER, Published, published_folder, read_published
from .record import Record, read_records
from .render.markdown import to_markdown
from .rules import Selection


@dataclass(frozen=True)
class Everything:
    """All that a results folder holds; `broken` has a message for each file that cannot be read.

    `published` are the numbers in the folder's own `published`; where it has none, those that come with the program, of
    data sets that have records.
    """

    records: tuple[Record, ...]
    planted: tuple[PlantedRecord, ...]
    published: tuple[Published, ...] = ()
    broken: tuple[str, ...] = ()

    def planted_board(self) -> PlantedBoard:
        """The tables of the planted records."""
        return make_planted_board(self.planted)

    def document(self, selection: Selection = "worst_group") -> str:
        """The whole of leaderboard.md."""
        return to_markdown(make_board(self.records, selection), self.planted_board(), self.published)


def read_everything(results: Path, *, strict: bool = False) -> Everything:
    """All records of a results folder, and published numbers. Raises DataError for a broken file if strict."""
    broken: list[str] | None = None if strict else []
    records, planted = tuple(read_records(results, broken)), tuple(read_all_planted(results, broken))
    published = read_published(published_folder(results), broken)
    if not (results / FOLDER).is_dir():
        studied = {record.dataset.partition(":labels=")[0] for record in records}
        published = tuple(value for value in published if value.dataset in studied)
    return Everything(records, planted, published, tuple(broken or ()))


def leaderboard_path(results: Path) -> Path:
    """Where the leaderboard of a results folder stands: beside it."""
    return Path(os.path.abspath(results)).parent / "leaderboard.md"  # noqa: PTH100 - links stay as they are written


def write_leaderboard(results: Path, everything: Everything) -> Path:
    """Write leaderboard.md beside a results folder, and return its path."""
    path = leaderboard_path(results)
    write_atomic(path, everything.document().encode())
    return path


def difference(path: Path, expected: str) -> str:
    """A unified diff from the file to what it should be; empty where they are equal."""
    try:
        found = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        found = ""
    lines = difflib.unified_diff(
        found.splitlines(keepends=True), expected.splitlines(keepends=True), str(path), "what the records say"
    )
    return "".join(lines)
