"""How regions are asked for: `quadrants`, `grid3`, `boxes`, `boxes:FILE`, `proposals20`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError

MOST_CELLS = 16
MOST_PROPOSALS = 300
DEFAULT_PROPOSALS = 20
WORDS = ("quadrants", "grid", "boxes", "proposals")
FORMS = (
    f"quadrants, gridR (R x R cells, R from 1 to {MOST_CELLS}), boxes (the data set's own), boxes:FILE (.csv, .json or "
    f".jsonl), proposalsN (N from 1 to {MOST_PROPOSALS}; {DEFAULT_PROPOSALS} without)"
)


@dataclass(frozen=True)
class RegionSpec:
    """Which regions of photos are looked at.

    Attributes:
        kind: equal cells of the view, the data set's own boxes, a file's, or proposals of a network.
        count: cells in a row and in a column, or proposals for each photo; 0 for boxes.
        file: of kind `file`.
    """

    kind: Literal["grid", "boxes", "file", "proposals"]
    count: int = 0
    file: Path | None = None

    def __str__(self) -> str:
        """One spelling for one meaning; a file by its name, wherever it lies."""
        if self.file is not None:
            return f"boxes:{self.file.name}"
        return f"{self.kind}{self.count or ''}"


def parse(spec: str) -> RegionSpec:
    """What a spec asks for. No file is opened. Raises UsageError for anything else than the known forms."""
    word, colon, name = spec.partition(":")
    if colon and word == "boxes" and name and "\0" not in name:
        return RegionSpec("file", file=Path(name).expanduser())
    found = re.fullmatch(r"(quadrants|grid|boxes|proposals)([0-9]{0,4})", spec)
    if found is None:
        near = difflib.get_close_matches(spec.rstrip("0123456789").partition(":")[0].lower(), WORDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown regions '{spec}'; {hint}known: {FORMS}")
    kind, digits = found[1], found[2]
    if kind == "quadrants" and not digits:
        return RegionSpec("grid", 2)
    if kind == "boxes" and not digits:
        return RegionSpec("boxes")
    if kind == "grid" and digits and 1 <= int(digits) <= MOST_CELLS:
        return RegionSpec("grid", int(digits))
    if kind == "proposals" and 1 <= int(digits or DEFAULT_PROPOSALS) <= MOST_PROPOSALS:
        return RegionSpec("proposals", int(digits or DEFAULT_PROPOSALS))
    raise UsageError(f"regions '{spec}' are out of range; known: {FORMS}")
