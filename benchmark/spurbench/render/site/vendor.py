"""The libraries that the page brings along, as `vendor/manifest.json` lists them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...errors import DataError

FOLDER = Path(__file__).parent / "vendor"


@dataclass(frozen=True)
class Library:
    """One library, minified by its authors and unchanged.

    Attributes:
        source: where its package is; `path`: of the file therein.
        code, terms: its text, and that of its licence.
    """

    name: str
    version: str
    licence: str
    source: str
    path: str
    sha256: str
    code: str
    terms: str


@cache
def libraries() -> tuple[Library, ...]:
    """All of them, in the order in which they need each other. Raises DataError for a file that was changed."""
    found = []
    for entry in json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8")):
        file = FOLDER / entry["file"]
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise DataError(f"{file} is not {entry['name']} {entry['version']}; install spurbench again")
        terms = (FOLDER / entry["terms"]).read_text(encoding="utf-8")
        said = {name: entry[name] for name in ("name", "version", "licence", "source", "path", "sha256")}
        found.append(Library(**said, code=content.decode(), terms=terms))
    return tuple(found)
