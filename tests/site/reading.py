"""The page as a program reads it: its data, its tables, its markup."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


def data_of(page: str) -> dict[str, Any]:
    """What the page's script shows."""
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page)
    assert found
    value: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return value


def raw(results: Path) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """The records' files as JSON, by rules, data set, backbone and method."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*/*/*/*.json"))]
    return {(r["rules"], r["dataset"], r["backbone"], r["method"]): r for r in read}


@dataclass
class Markup(HTMLParser):
    """Elements as a browser without scripts sees them, and the text of each table's cells."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag in ("td", "th", "script", "style"):
            self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self.inside not in ("script", "style"):
            self.text += data


def markup(page: str) -> Markup:
    """Read a page."""
    found = Markup()
    found.feed(page)
    found.close()
    return found
