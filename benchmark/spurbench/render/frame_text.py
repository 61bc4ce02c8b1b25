"""A table of results as CSV and as JSON, unrounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..errors import inert, plain

if TYPE_CHECKING:
    import pandas as pd


def to_csv(table: pd.DataFrame) -> str:
    """One line per row, nothing where a value is missing; text that a spreadsheet would run as a formula is quoted."""
    quoted = table.copy()
    for name in quoted.select_dtypes("string"):
        quoted[name] = quoted[name].map(_cell, na_action="ignore")
    text: str = quoted.to_csv(index=False, lineterminator="\n")
    return text


def _cell(text: str) -> str:
    # A dash alone, as cards have it for a paper that there is none of, starts no formula.
    return text if text == "-" else inert(plain(text))


def to_json(table: pd.DataFrame) -> str:
    """A list with an object per row, null where a value is missing; the same names as in the other forms."""
    known = table.astype(object).where(table.notna(), None)
    return json.dumps(known.to_dict("records"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
