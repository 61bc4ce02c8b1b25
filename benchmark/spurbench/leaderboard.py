"""The committed leaderboard: written from records, and checked against them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from .board import make_board
from .files import write_atomic
from .record import Record
from .render.markdown import to_markdown


def leaderboard_path(results: Path) -> Path:
    """Where the leaderboard of a results folder stands: beside it."""
    return Path(os.path.abspath(results)).parent / "leaderboard.md"  # noqa: PTH100 - links stay as they are written


def write_leaderboard(results: Path, records: Sequence[Record]) -> Path:
    """Write leaderboard.md beside a results folder, and return its path."""
    path = leaderboard_path(results)
    write_atomic(path, to_markdown(make_board(records)).encode())
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
