"""Tables of photos as the statistics get them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

COLUMNS = ["photo_id", "label", "background", "observation", "photographer", "status", "half", "correct"]
Cell = tuple[str, str]
Units = Sequence[tuple[int, int]]


def photos(rows: Iterable[Sequence[object]]) -> pd.DataFrame:
    """Rows of label, background, observation and photographer."""
    table = pd.DataFrame(list(rows), columns=["label", "background", "observation", "photographer"], dtype=str)
    ids = pd.Series([f"photo {i}" for i in range(len(table))], dtype=str)
    return table.assign(photo_id=ids, status="")


def judged(cells: Mapping[Cell, tuple[Units, Units]]) -> pd.DataFrame:
    """Of each label and background the units (right, photos) of each half; units of one photo have no observation."""
    rows = [
        (label, background, f"{label} {background} {half} {unit}" if n > 1 else "", "", "", half, i < right)
        for (label, background), halves in cells.items()
        for half, units in zip(("discovery", "evaluation"), halves, strict=True)
        for unit, (right, n) in enumerate(units)
        for i in range(n)
    ]
    return pd.DataFrame([(f"photo {i}", *row) for i, row in enumerate(rows)], columns=COLUMNS)


def single(right: int, n: int) -> Units:
    """Photos that are units of their own."""
    return [(int(i < right), 1) for i in range(n)]
