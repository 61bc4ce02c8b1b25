"""Planted tables as text: every number is one of the board's, in Markdown and in a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from spurbench.board import make_board
from spurbench.planted.board import make_planted_board
from spurbench.render.markdown import to_markdown
from spurbench.render.planted import tables
from spurbench.render.terminal import print_planted

from .conftest import MakeRecord, MakeSeed

HOSTILE = "a|b<script>`x`\nc"


@pytest.fixture
def settings(record: MakeRecord, model: MakeSeed) -> list[object]:
    """Three settings in which ravl finds 10, 5 and 0 of 10, and one mitigation."""
    mended = {HOSTILE: ([20, 9, 19, 8], [18, 8, 17, 7])}
    return [
        record(
            model(0, hits={"ravl": [1] * n + [0] * (10 - n), HOSTILE: [0]}, mitigated=mended, label=0),
            dataset=f"sticker-{n}",
        )
        for n in (10, 5, 0)
    ]


def test_the_numbers_in_the_tables_are_the_boards(settings: list) -> None:  # type: ignore[type-arg]
    made = list(tables(make_planted_board(settings)))
    finders, by_threshold, by_k, mended = made
    (row,) = [row for row in finders.rows if row[0] == "ravl"]
    # Mean 0.5, deviation 0.5, t(2) = 4.303: an interval wider than shares go.
    assert row[1:3] == ("0.50 (0.00 to 1.00)", "0.50")
    assert row[3] == "100.0"
    assert by_threshold.headings[1:] == (
        "above 10 points (3)",
        "above 20 points (3)",
        "above 30 points (3)",
        "above 40 points (0)",
    )
    assert [row[-1] for row in by_threshold.rows] == ["-", "-"]
    assert by_k.headings[1:] == ("K = 1", "K = 5", "K = 10", "K = 20", "K = 50")
    assert {row[0]: row[1:] for row in mended.rows}[HOSTILE.partition(":")[0]][0] == "0.80"


def test_markdown_escapes_and_keeps_its_columns(settings: list) -> None:  # type: ignore[type-arg]
    text = to_markdown(make_board([]), make_planted_board(settings))
    assert "## Discovery" in text
    assert "3 of 3 settings valid, 3 models." in text
    assert "<script>" not in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1
    assert "## Discovery" not in to_markdown(make_board([]), make_planted_board([]))


def test_tables_fit_a_narrow_terminal(settings: list) -> None:  # type: ignore[type-arg]
    out = io.StringIO()
    print_planted(make_planted_board(settings), Console(file=out, width=80))
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "0.50 (0.00" in out.getvalue()
    assert "\n" in out.getvalue()
