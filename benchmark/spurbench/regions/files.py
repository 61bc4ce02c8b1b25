"""Boxes that somebody drew, read from a CSV or JSON file: pixels of the photos, by the examples' ids."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError

COLUMNS = ("id", "left", "top", "right", "bottom")
MOST_BOXES = 300
"""Of one photo; what is kept has as many rows for every photo as the one with most."""

Corners = tuple[float, float, float, float]
Found = tuple[str, Corners, str]
"""An id, its box, and where in the file it stands."""


def read_boxes(path: Path, ids: Sequence[str]) -> tuple[list[list[Found]], bytes]:
    """The boxes of each example, in the file's order, and the file's content.

    A CSV file has a header with at least `id,left,top,right,bottom`; a JSON file is an object, or a JSON-lines file has
    one on each line, that gives lists of `[left, top, right, bottom]` by id. Right and bottom are exclusive.

    Raises:
        UsageError: there is no such file, or it is called otherwise than .csv, .json or .jsonl.
        DataError: what is in it are not boxes of these examples; says where and why.
    """
    readers = {".csv": _from_csv, ".json": _from_json, ".jsonl": _from_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"boxes are read from {', '.join(readers)} files; {path} is none of them")
    if not path.is_file():
        raise UsageError(f"there is no file {path} to read boxes from")
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    try:
        return _by_example(list(reader(text)), ids), content
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _by_example(found: list[Found], ids: Sequence[str]) -> list[list[Found]]:
    rows = {name: row for row, name in enumerate(ids)}
    unknown = list(dict.fromkeys(name for name, _, _ in found if name not in rows))
    if unknown:
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        example = f"; ids look like {ids[0]!r}" if ids else ""
        raise DataError(f"boxes of {len(unknown)} images that the data set does not have: {shown}{example}")
    if not found:
        raise DataError("there is not one box in it")
    boxes: list[list[Found]] = [[] for _ in ids]
    for box in found:
        boxes[rows[box[0]]].append(box)
    name, most = max(zip(ids, map(len, boxes), strict=True), key=lambda pair: pair[1])
    if most > MOST_BOXES:
        raise DataError(f"{name!r} has {most} boxes; a photo may have up to {MOST_BOXES}")
    return boxes


def _from_csv(text: str) -> Iterator[Found]:
    # Strict: a quote that never ends would swallow the lines behind it.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            listed = ", ".join(reader.fieldnames or ()) or "none"
            raise DataError(f"the header lacks {', '.join(missing)}; it has the columns {listed[:200]}")
        for row in reader:
            where = f"line {reader.line_num}"
            yield row["id"] or "", _corners([row[name] for name in COLUMNS[1:]], where), where
    except csv.Error as error:
        raise DataError(f"line {reader.line_num}: not CSV: {error}") from error


def _from_json(text: str) -> Iterator[Found]:
    yield from _from_object(text, "")


def _from_lines(text: str) -> Iterator[Found]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield from _from_object(line, f"line {number}, ")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: a name may stand in it twice."""


def _from_object(text: str, line: str) -> Iterator[Found]:
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{line}not JSON: {error}") from error
    if not isinstance(content, _Pairs):
        raise DataError(f"{line}must be an object that gives a list of boxes by id, not {_short(content)}")
    for name, boxes in content:
        if not isinstance(boxes, list) or isinstance(boxes, _Pairs):
            raise DataError(f"{line}{name!r}: must be a list of [left, top, right, bottom], not {_short(boxes)}")
        for number, box in enumerate(boxes, start=1):
            where = f"{line}{name!r}, box {number}"
            yield name, _corners(box, where), where


def _corners(box: Any, where: str) -> Corners:
    """Four finite numbers that make a box that is not empty. Raises DataError."""
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"{where}: a box is [left, top, right, bottom], not {_short(box)}")
    try:
        numbers = [_number(value) for value in box]
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{where}: a box is four numbers, not {_listed(box)}") from None
    left, top, right, bottom = numbers
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"{where}: the box {_listed(numbers)} is not finite")
    if right <= left or bottom <= top:
        raise DataError(f"{where}: the box {_listed(numbers)} is empty: right and bottom must exceed left and top")
    return left, top, right, bottom


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return float(value)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else repr(value)[:30] for value in values)


def _short(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:80]
