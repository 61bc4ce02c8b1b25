"""The page: a template, its data and its scripts, put together. The same records give the same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...board import TRACKS, Board
from ...planted.board import PlantedBoard
from ...published import Published
from ...record import Record
from ...rules import Selection
from .. import attention, pages, percent, planted
from ..published import how, published_tables
from . import tables
from .payload import payload
from .vendor import libraries

SCRIPTS = ("data", "filters", "table", "record", "figures", "start")
"""Our own, in the order in which they need each other."""
EARLY = 'document.documentElement.className = "js";'
"""Runs before anything is drawn: what needs a script is shown only where scripts run."""
MEANING = {
    "worst_group": "best worst-group accuracy on validation, which uses the groups of validation photos, also for "
    "methods told nothing; worst class and average do not",
    "worst_class": "best worst-class accuracy on validation, without group labels",
    "average": "best accuracy on validation, without group labels",
}
_MARKS = re.compile(r"(\*\*.+?\*\*|`.+?`)", re.DOTALL)


@dataclass(frozen=True)
class Contents:
    """What the page shows.

    Attributes:
        boards: one for each selection rule, the headline first; over the same records.
        planted: tables of discovery.
        left_out: a message for each file that could not be read.
    """

    boards: Mapping[Selection, Board]
    records: Sequence[Record]
    planted: PlantedBoard
    published: Sequence[Published]
    left_out: Sequence[str] = ()


def to_page(contents: Contents) -> str:
    """The whole file, UTF-8 text."""
    board = next(iter(contents.boards.values()))
    templates = pages.environment(percent=percent, marked=_marked)
    shown = {selection: tables.places(each) for selection, each in contents.boards.items()}
    data = pack(payload(contents.boards, contents.records, contents.published))
    scripts = [*(library.code for library in libraries()), own_code()]
    return templates.get_template("site/page.html.jinja").render(
        board=board,
        boards=contents.boards,
        meaning=MEANING,
        shown_by=shown,
        places=next(iter(shown.values())),
        tracks=TRACKS,
        table=tables,
        filters=_filters(board),
        planted=planted,
        discovery=contents.planted,
        attention=attention,
        looked=_looked(board),
        published=_published(contents.published, board),
        left_out=contents.left_out,
        libraries=libraries(),
        early=EARLY,
        scripts=scripts,
        hashes=[_hash(script) for script in (EARLY, *scripts)],
        data=data,
    )


def _looked(board: Board) -> list[tuple[str, str, str, tuple[attention.Looks, ...]]]:
    """Where the models of each table look: data set, backbone, rules, and what is told of it."""
    found = ((where, attention.looks(rows)) for where, rows in board.tables())
    return [(dataset, backbone, rules, some) for (rules, dataset, backbone), some in found if some]


def pack(value: Any) -> str:
    """JSON, deflated (zlib), in base64: nothing in it ends a script element, and a browser unpacks it by itself."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


@cache
def own_code() -> str:
    """Our own scripts as one."""
    folder = Path(__file__).parent / "js"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(['"use strict";', *parts])


def _hash(script: str) -> str:
    """How a content security policy names a script: nothing else in the page is ever run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _filters(board: Board) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name of each filter -> its title and what it can be set to."""
    kinds = {"dataset": "data set", "backbone": "backbone", "track": "supervision", "tier": "tier", "rules": "rules"}
    found = {}
    for name, title in kinds.items():
        values = {getattr(row, name) for row in board.rows}
        known = [track for track in TRACKS if track in values] if name == "track" else sorted(values)
        found[name] = (title, tuple(known))
    return found


def _published(values: Sequence[Published], board: Board) -> list[tuple[str, str, list[Any]]]:
    """Data sets, how to read what is printed of each, and the tables."""
    by_dataset: dict[str, list[Published]] = {}
    for value in values:
        by_dataset.setdefault(value.dataset, []).append(value)
    return [(dataset, how(mine), list(published_tables(mine, board))) for dataset, mine in by_dataset.items()]


def _marked(text: str) -> Markup:
    """Our own explanations, in which `**` and backticks mark what stands out, as they do in leaderboard.md."""
    pieces = (
        Markup("<b>{}</b>").format(piece[2:-2])
        if piece.startswith("**")
        else Markup("<code>{}</code>").format(piece[1:-1])
        if piece.startswith("`")
        else piece
        for piece in _MARKS.split(text)
    )
    return Markup("").join(pieces)
